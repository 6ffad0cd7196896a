# SPDX-License-Identifier: MIT
"""What all tests share: runs that they start can be interrupted."""

import signal

import pytest


@pytest.fixture(autouse=True)
def heeded_interrupts() -> None:
    """Undo what a shell does to the tests in its background: it has them ignore interrupts.

    Programs that they start would inherit that, and tests of Ctrl-C would wait in vain. Before each
    test, since solvers that others call in this process set it anew.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
