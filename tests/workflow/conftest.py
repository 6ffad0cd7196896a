# SPDX-License-Identifier: MIT
"""Finished studies for all tests of the workflow; each test edits a clone of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import COUNTED, SMOKE, cloned, copy_checkout, finished_study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the finished study that counts jobs; do not change it."""
    return finished_study("finished", COUNTED, tmp_path_factory)


@pytest.fixture(scope="session")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the finished smoke study; do not change it."""
    return finished_study("smoked", SMOKE, tmp_path_factory)


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of the finished study, with its time stamps, to edit and to run in."""
    yield from cloned(finished, tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A copy of the checkout in which nothing has run."""
    folder = tmp_path / "checkout"
    copy_checkout(folder)
    yield folder
    shutil.rmtree(folder)
