# SPDX-License-Identifier: MIT
"""What processes take: processor time, and memory as Linux counts it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PERIOD = 0.1
"""Seconds between two looks at the memory of all processes; a look takes some milliseconds."""


@dataclass(frozen=True)
class Used:
    """What a process says of itself.

    Attributes:
        seconds: by the clock.
        processor: seconds of all its threads.
        peak_rss: bytes, mapped files included.
    """

    seconds: float
    processor: float
    peak_rss: int


def peak_rss() -> int:
    """Largest resident set of this process since it was started, in bytes."""
    return _kilobytes(Path("/proc/self/status"), "VmHWM") * 1024


class SharedMemory:
    """The largest sum of proportional set sizes of some processes, sampled while `with` lasts.

    A page that several of them share counts once, where sums of resident sets count it for each.
    """

    def __init__(self, processes: Sequence[int]) -> None:
        self._processes = processes
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = 0

    def __enter__(self) -> SharedMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(PERIOD):
            self.peak = max(self.peak, sum(map(_pss, self._processes)))


def _pss(process: int) -> int:
    """Bytes of a process, shared pages in shares; 0 if it has ended."""
    try:
        return _kilobytes(Path(f"/proc/{process}/smaps_rollup"), "Pss") * 1024
    except (OSError, StopIteration):
        return 0


def _kilobytes(file: Path, key: str) -> int:
    lines = file.read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))
