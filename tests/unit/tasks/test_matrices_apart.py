# SPDX-License-Identifier: MIT
"""What an edit touches: the two matrix tasks share grids, folds and fields, and nothing else."""

import subprocess
import sys

import pytest

from derotate.study.provenance import ROOT, imported_modules

PARTS = (
    "problems", "prompts", "answers", "rewards", "feedback", "streams", "pretraining", "chance",
)  # fmt: skip
TASKS = ("determinant", "rank")


def reached(*names: str) -> set[str]:
    """The modules whose edits change the digest of these, as `tasks.part`, shared ones included."""
    found = imported_modules(ROOT, [f"derotate.tasks.{name}" for name in names])
    return {name.removeprefix("derotate.tasks.") for name in found}


@pytest.mark.parametrize(("task", "other"), [TASKS, TASKS[::-1]])
def test_no_part_of_a_task_reaches_the_other(task: str, other: str) -> None:
    found = reached(*(f"{task}.{part}" for part in PARTS))
    assert f"{task}.rewards" in found
    assert not {name for name in found if name.partition(".")[0] == other}


@pytest.mark.parametrize("task", TASKS)
def test_an_edit_of_a_reward_touches_nothing_else(task: str) -> None:
    for part in PARTS:
        assert (f"{task}.rewards" in reached(f"{task}.{part}")) == (part == "rewards")


@pytest.mark.parametrize("task", TASKS)
def test_an_edit_of_a_prompt_leaves_problems_and_grades_alone(task: str) -> None:
    for part in ("problems", "streams", "answers", "rewards", "feedback", "chance"):
        assert f"{task}.prompts" not in reached(f"{task}.{part}")


@pytest.mark.parametrize("task", TASKS)
def test_the_grader_leaves_problems_alone(task: str) -> None:
    for part in ("problems", "streams", "prompts", "pretraining"):
        assert not {f"{task}.answers", "matrices.fields"} & reached(f"{task}.{part}")


def test_planning_needs_no_heavy_library() -> None:
    code = (
        "import sys; from derotate.tasks import load;"
        f"[getattr(load(task), part) for task in {TASKS} for part in {PARTS}];"
        "print(sorted({'torch', 'transformers', 'numpy', 'pandas', 'trl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
