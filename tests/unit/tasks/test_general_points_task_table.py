# SPDX-License-Identifier: MIT
"""Tasks are found by name, and finding one imports nothing heavy."""

import subprocess
import sys

import pytest

from derotate.tasks import TASKS, module
from derotate.tasks.general_points import answers


def test_parts_are_found_by_name() -> None:
    assert "general_points" in TASKS
    assert module("general_points", "answers") is answers
    for part in ("problems", "solver", "prompts", "rewards"):
        assert module("general_points", part).__name__ == f"derotate.tasks.general_points.{part}"


def test_unknown_names_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"unknown task .chess.: expected one of .*general_points"):
        module("chess", "answers")
    with pytest.raises(ValueError, match="task 'general_points' has no part 'nothing'"):
        module("general_points", "nothing")


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from derotate.tasks import module;"
        "[module('general_points', part) for part in "
        "('problems', 'solver', 'prompts', 'answers', 'rewards')];"
        "print(sorted({'torch', 'transformers', 'numpy', 'trl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
