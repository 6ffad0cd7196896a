# SPDX-License-Identifier: MIT
"""One finished study for all tests of the workflow; each test edits a clone of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import COUNTED, SMOKE, cloned, copy_checkout, environment, run


def make(folder: Path, config: str) -> Path:
    """Run the study of a config in a copy of the checkout."""
    copy_checkout(folder)
    used = subprocess.run(
        [sys.executable, "-c", "import derotate; print(derotate.__file__)"],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(used.stdout.strip()).is_relative_to(folder)
    run(folder, config=config)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the study that counts jobs is done; not to be changed."""
    return make(tmp_path_factory.mktemp("finished") / "checkout", COUNTED)


@pytest.fixture(scope="session")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the smoke study is done; not to be changed."""
    return make(tmp_path_factory.mktemp("smoked") / "checkout", SMOKE)


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of the finished study, dates included, to edit and to run in."""
    yield from cloned(finished, tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A copy of the checkout in which nothing has run."""
    folder = tmp_path / "checkout"
    copy_checkout(folder)
    yield folder
    shutil.rmtree(folder)
