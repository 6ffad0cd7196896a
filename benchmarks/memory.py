# SPDX-License-Identifier: MIT
"""Memory of processes as Linux counts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PERIOD = 0.1
"""Seconds between two samples of the memory of all processes; a sample takes some milliseconds."""


@dataclass(frozen=True)
class Used:
    """Time and memory of a process, measured by itself.

    Attributes:
        seconds: by the clock.
        processor: seconds of all its threads.
        peak_rss: bytes, mapped files included.
    """

    seconds: float
    processor: float
    peak_rss: int


def peak_rss() -> int:
    """Peak resident set of this process since its start, in bytes."""
    return _kilobytes(Path("/proc/self/status"), "VmHWM") * 1024


def shared(process: int) -> int:
    """Proportional set size in bytes; 0 if the process has ended.

    In a sum over processes a shared page counts once; in a sum of resident sets it counts for each.
    """
    return _sampled(Path(f"/proc/{process}/smaps_rollup"), "Pss")


def anonymous(process: int) -> int:
    """Resident bytes that are not of a mapped file; 0 if the process has ended.

    The kernel can drop pages of a mapped file when memory runs short, but not these.
    """
    return _sampled(Path(f"/proc/{process}/status"), "RssAnon")


class PeakMemory:
    """Context manager that samples the memory of processes; `peak` is their largest sum in bytes.

    Args:
        processes: their ids.
        look: what to sum, `shared` or `anonymous`.
        period: seconds between two samples.
    """

    def __init__(
        self, processes: Sequence[int], look: Callable[[int], int], period: float = PERIOD
    ) -> None:
        self._processes = processes
        self._look = look
        self._period = period
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._period):
            self.peak = max(self.peak, sum(map(self._look, self._processes)))


def _sampled(file: Path, key: str) -> int:
    try:
        return _kilobytes(file, key) * 1024
    except (OSError, StopIteration):
        return 0


def _kilobytes(file: Path, key: str) -> int:
    lines = file.read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))
