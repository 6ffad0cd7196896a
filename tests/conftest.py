# SPDX-License-Identifier: MIT
"""What all tests share: runs that they start can be interrupted."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def heeded_interrupts() -> Iterator[None]:
    """Undo what a shell does to the tests in its background: it has them ignore interrupts.

    Programs that they start would inherit that, and tests of Ctrl-C would wait in vain.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
