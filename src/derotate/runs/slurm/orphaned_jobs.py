# SPDX-License-Identifier: MIT
"""Orphaned jobs: SLURM keeps running what was submitted before Snakemake was killed.

A new Snakemake does not recognise these jobs. It would submit them again, and two jobs would write
one output. They are therefore awaited or cancelled first. The outputs of awaited jobs count.
"""

import sys
import time
from pathlib import Path
from typing import Final, Literal

from derotate.runs.slurm import cluster
from derotate.runs.slurm.pending_reasons import never

Treatment = Literal["wait", "cancel"]

MARK: Final = Path(".snakemake", "derotate.slurm")
"""Exists from start to end of a run on SLURM; contains its host name."""
POLL_SECONDS: Final = 5.0


def settle(folder: Path, treatment: Treatment) -> None:
    """Wait until no job of derotate works in `folder`.

    Jobs that can never start are always cancelled. While the cluster does not answer, the state of
    the jobs is unknown and the wait continues.

    Raises:
        SlurmError: the cluster does not answer at the start, or refuses to cancel.
    """
    left = cluster.left_in(folder)
    if not left:
        return
    names = ", ".join(f"{job.number} ({job.rule}, {job.state.lower()})" for job in left)
    print(f"derotate: {_verb(treatment)} {len(left)} orphaned jobs: {names}", file=sys.stderr)
    if treatment == "cancel":
        cluster.cancel(job.number for job in left)
    elif any(job.state == "RUNNING" for job in left):
        print("derotate: to cancel them, press Ctrl-C and use `--orphans cancel`", file=sys.stderr)
    while left:
        cluster.cancel(job.number for job in left if never(job.reason))
        time.sleep(POLL_SECONDS)
        if cluster.answers():
            left = cluster.left_in(folder)


def require_none(folder: Path) -> None:
    """Check that no SLURM job of derotate works in `folder`, before a local run.

    Raises:
        SlurmError: there are such jobs, or the cluster does not answer.
    """
    if not (folder / MARK).exists():
        return
    try:
        left = cluster.left_in(folder)
    except cluster.SlurmError as error:
        raise cluster.SlurmError(
            f"a run on SLURM was killed in this directory and the state of its jobs is unknown "
            f"({error}); repeat `make slurm`, or remove {MARK} if no job is left"
        ) from None
    if left:
        raise cluster.SlurmError(
            f"{len(left)} SLURM jobs of a killed run use this directory, e.g. {left[0].number} "
            f"({left[0].rule}); repeat `make slurm`, which waits for them or cancels them"
        )


def _verb(treatment: Treatment) -> str:
    return "cancelling" if treatment == "cancel" else "waiting for"
