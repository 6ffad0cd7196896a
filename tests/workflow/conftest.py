# SPDX-License-Identifier: MIT
"""One finished study for all tests of the workflow; each test edits a clone of its own.

It is one too where test files run side by side: the first process that wants it makes it, and
others wait.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import COUNTED, SMOKE, cloned, copy_checkout, environment, run
from filelock import FileLock


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


def made_once(name: str, config: str, factory: pytest.TempPathFactory) -> Path:
    """The finished study of a config, one for all processes of this run of pytest."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not folder.is_dir():
            os.replace(make(shared / f"{name}.part", config), folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the study that counts jobs is done; not to be changed."""
    return made_once("finished", COUNTED, tmp_path_factory)


@pytest.fixture(scope="session")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the smoke study is done; not to be changed."""
    return made_once("smoked", SMOKE, tmp_path_factory)


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
