# SPDX-License-Identifier: MIT
"""Every task has a study that can be planned, with the same rules as any other, or beside another."""

from pathlib import Path

import pytest
from checkout import COUNTED, SMOKE, dry_run, run, tables

from derotate.tasks import TASKS


@pytest.mark.parametrize("task", [task for task in TASKS if task != "general_points"])
def test_the_smallest_study_has_the_same_jobs_whatever_the_task(fresh: Path, task: str) -> None:
    assert dry_run(fresh, "--config", f"task={task}", config=SMOKE) == dry_run(fresh, config=SMOKE)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "general_points"])
def test_the_demo_of_a_task_is_planned_with_rl_from_two_starts(fresh: Path, task: str) -> None:
    jobs = dry_run(fresh, config=f"config/{task}.yaml")
    assert jobs["grpo"] == 2
    assert jobs["evaluate_sft"] == 8


OTHER = "also.yaml"
"""The config of a study of the task rank, as small as the counted one."""


def write_other(folder: Path) -> None:
    text = (folder / COUNTED).read_text()
    (folder / OTHER).write_text(text.replace("study: counted", "study: of-rank\ntask: rank"))


def test_a_further_study_is_planned_with_its_own_name_before_each_rule(fresh: Path) -> None:
    write_other(fresh)
    alone = dry_run(fresh)
    both = dry_run(fresh, "--config", f"also=[{OTHER}]")
    assert both == alone | {f"of_rank_{rule}": jobs for rule, jobs in alone.items()}


@pytest.mark.slow
def test_studies_made_by_one_run_are_those_made_alone(fresh: Path, finished: Path) -> None:
    write_other(fresh)
    run(fresh, "--config", f"also=[{OTHER}]")
    made = tables(fresh)
    own = tables(finished)
    assert own.items() <= made.items()
    assert dry_run(fresh, config=OTHER) == {}
    assert {path for path in made if "/of-rank/" in path} == {
        path.replace("/counted/", "/of-rank/").replace("general_points", "rank")
        for path in own
        if "/counted/" in path
    }
