# SPDX-License-Identifier: MIT
"""Every task has a study that can be planned, with the same rules as any other."""

from pathlib import Path

import pytest
from checkout import SMOKE, dry_run

from derotate.tasks import TASKS


@pytest.mark.parametrize("task", [task for task in TASKS if task != "general_points"])
def test_the_smallest_study_has_the_same_jobs_whatever_the_task(fresh: Path, task: str) -> None:
    assert dry_run(fresh, "--config", f"task={task}", config=SMOKE) == dry_run(fresh, config=SMOKE)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "general_points"])
def test_the_demo_of_a_task_is_planned_with_rl_from_two_starts(fresh: Path, task: str) -> None:
    jobs = dry_run(fresh, config=f"config/{task}.yaml")
    assert jobs["grpo"] == 2
    assert jobs["evaluate_sft"] == 8
