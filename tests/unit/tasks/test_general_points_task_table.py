# SPDX-License-Identifier: MIT
"""Tasks are found by name, and finding one imports nothing heavy."""

import subprocess
import sys

import pytest

from derotate.tasks import TASKS, load
from derotate.tasks.general_points import answers


def test_parts_are_found_by_name() -> None:
    assert "general_points" in TASKS
    assert load("general_points").answers is answers
    for part in ("problems", "prompts", "rewards"):
        name = f"derotate.tasks.general_points.{part}"
        assert getattr(load("general_points"), part).__name__ == name


def test_unknown_names_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"task .chess.: expected one of .*general_points"):
        load("chess")
    with pytest.raises(AttributeError, match="general_points has no part 'nothing'"):
        _ = load("general_points").nothing  # type: ignore[attr-defined]


def test_an_optional_part_that_a_task_lacks_is_none() -> None:
    assert load("general_points").chance is None
    assert load("rank").chance is not None


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from derotate.tasks import load;"
        "[getattr(load('general_points'), part) for part in "
        "('problems', 'solver', 'prompts', 'answers', 'rewards')];"
        "print(sorted({'torch', 'transformers', 'numpy', 'trl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
