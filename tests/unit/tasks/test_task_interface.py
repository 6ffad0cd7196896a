# SPDX-License-Identifier: MIT
"""mypy refuses a task whose parts are not those of the interface."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from derotate.study.provenance import ROOT

REWARDS = "tasks/rank/rewards.py"
SIGNATURE = "def reward(problem: Problem, response: str,"


def checked(folder: Path, old: str, new: str) -> subprocess.CompletedProcess[str]:
    """What mypy says of the task `rank` after an edit of its rewards in a copy of the package."""
    package = folder / "derotate"
    shutil.copytree(ROOT, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / REWARDS).read_text(encoding="utf-8")
    assert old in text
    (package / REWARDS).write_text(text.replace(old, new), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache",
         "--ignore-missing-imports", "--follow-imports=silent", "-p", "derotate.tasks.rank"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param(SIGNATURE, SIGNATURE, "Success", id="as it is"),
        pytest.param(
            SIGNATURE, SIGNATURE.replace("str", "int"), 'expected "Rewards[Problem]"',
            id="a parameter of another type",
        ),
        pytest.param(
            "def reward(", "def rewarded(", "missing following", id="a function that is missing"
        ),
        pytest.param("-> float:", "-> str:", 'expected "Rewards[Problem]"', id="another result"),
    ],
)  # fmt: skip
def test_a_part_with_a_wrong_signature_is_a_type_error(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    done = checked(tmp_path, old, new)
    assert (done.returncode == 0) == (old == new), done.stdout
    assert words in done.stdout
