# SPDX-License-Identifier: MIT
"""Each task has a study that can be planned, alone or together with other studies."""

from pathlib import Path

import pytest
from checkout import SMOKE, dry_run, edit, run, tables
from test_edits import AFTER_GRPO

from derotate.config.schema import read
from derotate.tasks import TASKS


@pytest.mark.parametrize("task", [task for task in TASKS if task != "general_points"])
def test_the_smallest_study_has_the_same_jobs_for_every_task(fresh: Path, task: str) -> None:
    # an arm that general_points alone has
    without = "diverse={steps: []}"
    planned = dry_run(fresh, "--config", f"task={task}", without, config=SMOKE)
    assert planned == dry_run(fresh, "--config", without, config=SMOKE)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "general_points"])
def test_the_demo_of_a_task_is_planned_with_rl_from_two_starts(fresh: Path, task: str) -> None:
    jobs = dry_run(fresh, config=f"config/{task}.yaml")
    assert jobs["grpo"] == 2
    assert jobs["evaluate_sft"] == len(read(fresh / f"config/{task}.yaml").sft.steps)


OTHER = "also=[{file: tests/workflow/study.yaml, study: of-rank, task: rank}]"
"""A study of the task rank beside the counted one, of the same size."""


def test_the_rules_of_a_further_study_are_prefixed_with_its_name(fresh: Path) -> None:
    alone = dry_run(fresh)
    both = dry_run(fresh, "--config", OTHER)
    assert both == alone | {f"of_rank_{rule}": jobs for rule, jobs in alone.items()}


@pytest.mark.slow
def test_studies_made_in_one_run_equal_those_made_alone_and_rerun_separately(
    fresh: Path, finished: Path
) -> None:
    run(fresh, "--config", OTHER)
    made = tables(fresh)
    # but for what is said of other tasks
    own = {path: digest for path, digest in tables(finished).items() if "claim" not in path}
    assert own.items() <= made.items()
    assert dry_run(fresh, "--config", "study=of-rank", "task=rank") == {}
    assert {path for path in made if "/of-rank/" in path} >= {
        path.replace("/counted/", "/of-rank/").replace("general_points", "rank")
        for path in own
        if "/counted/" in path
    }

    edit(fresh, "src/derotate/tasks/rank/rewards.py", "VERSION: Final = 1", "VERSION: Final = 2")
    of_rank = {f"of_rank_{rule}": jobs for rule, jobs in AFTER_GRPO.items()}
    # what is said of other tasks is made again too
    assert dry_run(fresh, "--config", OTHER) == of_rank | {"claims": 1}


def test_the_reference_study_has_all_four_tasks(fresh: Path) -> None:
    jobs = dry_run(fresh, config="config/tiny.yaml")
    bases = {rule: count for rule, count in jobs.items() if rule == "base" or "_base" in rule}
    assert bases == {
        "base": 2, "evaluate_base": 2,
        **{f"tiny_{task}_{rule}": 1 for task in TASKS if task != "general_points"
           for rule in ("base", "evaluate_base")},
    }  # fmt: skip
    assert all(jobs[f"tiny_{task}_grpo"] == 6 for task in TASKS if task != "general_points")
