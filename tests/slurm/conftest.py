# SPDX-License-Identifier: MIT
"""A SLURM for all tests of this folder, and for each test a checkout in which nothing has run."""

import os
from collections.abc import Iterator
from pathlib import Path

import cluster
import pytest
from checkout import copy_checkout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder: they need the cluster and take minutes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A SLURM on this machine; stopped at the end if the tests have started it."""
    try:
        started = cluster.up()
    except cluster.Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
    yield
    if started:
        cluster.down()


@pytest.fixture
def fresh(slurm: None, tmp_path: Path) -> Iterator[Path]:
    """A copy of the checkout in which nothing has run; the test must leave no job."""
    folder = tmp_path / "checkout"
    copy_checkout(folder)
    yield folder
    left = cluster.left_over()
    cluster.cancel_all()
    assert left == []
