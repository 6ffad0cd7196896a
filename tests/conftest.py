# SPDX-License-Identifier: MIT
"""What all tests share: interrupts work in the programs they start, and long files start first."""

import signal
from pathlib import Path
from typing import Final

import pytest

LONGEST_FIRST: Final = (
    "workflow/test_edits.py",
    "workflow/test_kills.py",
    "workflow/test_pretrained_study.py",
    "benchmarks/test_smollm.py",
    "unit/training",
    "workflow/test_reruns.py",
    "workflow/test_determinism.py",
    "workflow/test_reference.py",
    "workflow",
)
"""Files and folders that take minutes, roughly by falling time.

The first two each make a finished study (tests/workflow/conftest.py) and the next ones need none.
So no worker of pytest-xdist waits for a study that another one makes.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long files first, so that workers that take one file at a time end together."""
    tests = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(tests)
        ranks = (
            place for place, name in enumerate(LONGEST_FIRST) if path.is_relative_to(Path(name))
        )
        return next(ranks, len(LONGEST_FIRST))

    items.sort(key=rank)


def restore_interrupts() -> None:
    """Restore Python's handler of SIGINT, which a shell disables for commands in its background.

    Programs that tests start would inherit that, and tests of Ctrl-C would wait in vain.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Interrupts work from the start, in fixtures of all scopes."""
    restore_interrupts()


@pytest.fixture(autouse=True)
def default_interrupts() -> None:
    """They work in each test, too: solvers that run in this process set another handler."""
    restore_interrupts()
