# SPDX-License-Identifier: MIT
"""Whether a time says anything: what else the machine did while it was taken."""

from __future__ import annotations

import psutil

WATCHED_SECONDS = 1.0
TOLERATED = 0.25
"""Cores that other work may take. With two of two taken, the same grid took five times as long."""

KEPT = 0.9
"""Share of their time that processes of one thread spend on a processor where nobody disturbs
them; what is missing they waited for one."""


def cores_taken() -> float:
    """Cores that work of others takes just now, watched for a second in which this one sleeps."""
    return psutil.cpu_percent(interval=WATCHED_SECONDS) / 100 * (psutil.cpu_count() or 1)


def before(cores: float) -> str | None:
    """A warning that other work takes that many cores; None if that is next to nothing."""
    if cores <= TOLERATED:
        return None
    return (
        f"WARNING: other work takes {cores:.1f} cores of this machine, expected at most "
        f"{TOLERATED:g}; times and ratios of this run are not to be quoted, repeat it when idle"
    )


def afterwards(processor: float, seconds: float, processes: int) -> str | None:
    """A warning that processes of one thread waited for a processor.

    Args:
        processor: seconds of all of them.
        seconds: by the clock.
        processes: how many there were.
    """
    share = processor / (seconds * processes)
    if share >= KEPT:
        return None
    return (
        f"WARNING: {processes} processes had a processor in {share:.0%} of their time, expected at "
        f"least {KEPT:.0%}; the machine was busy, only the ratio of processor times says anything"
    )
