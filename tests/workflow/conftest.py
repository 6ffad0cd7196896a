# SPDX-License-Identifier: MIT
"""One finished study for all tests of the workflow; each test edits a clone of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import copy_checkout, environment, run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout whose study is done; not to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "checkout"
    copy_checkout(folder)
    used = subprocess.run(
        [sys.executable, "-c", "import derotate; print(derotate.__file__)"],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(used.stdout.strip()).is_relative_to(folder)
    run(folder)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of the finished study, dates included, to edit and to run in."""
    folder = tmp_path / "checkout"
    shutil.copytree(finished, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A copy of the checkout in which nothing has run."""
    folder = tmp_path / "checkout"
    copy_checkout(folder)
    yield folder
    shutil.rmtree(folder)
