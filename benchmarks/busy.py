# SPDX-License-Identifier: MIT
"""Warnings that other work on the machine distorted a measured time."""

from __future__ import annotations

import psutil

WATCHED_SECONDS = 1.0
TOLERATED = 0.25
"""Cores that other work may use. With both of two cores busy, a grid took five times as long."""

EXPECTED_SHARE = 0.9
"""Share of wall time that single-threaded processes spend on a core of an idle machine; in the rest
they wait for one."""


def cores_taken() -> float:
    """Cores that other processes use, sampled for a second in which this one sleeps."""
    return psutil.cpu_percent(interval=WATCHED_SECONDS) / 100 * (psutil.cpu_count() or 1)


def before(cores: float) -> str | None:
    """A warning that other work uses this many cores; None if at most `TOLERATED`."""
    if cores <= TOLERATED:
        return None
    return (
        f"WARNING: other work uses {cores:.1f} cores of this machine, expected at most "
        f"{TOLERATED:g}; do not quote times and ratios of this run, repeat it on an idle machine"
    )


def afterwards(processor: float, seconds: float, processes: int) -> str | None:
    """A warning that single-threaded processes waited for a core; None if they did not.

    Args:
        processor: processor seconds of all processes.
        seconds: by the clock.
        processes: their number.
    """
    share = processor / (seconds * processes)
    if share >= EXPECTED_SHARE:
        return None
    return (
        f"WARNING: {processes} processes had a core in {share:.0%} of their time, expected at "
        f"least {EXPECTED_SHARE:.0%}; the machine was busy, use only the ratio of processor times"
    )
