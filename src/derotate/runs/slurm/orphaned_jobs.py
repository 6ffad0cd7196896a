# SPDX-License-Identifier: MIT
"""Jobs of a dead run: SLURM goes on with what was submitted when Snakemake is killed.

Snakemake does not know its old jobs again, so a new run would submit them beside the old ones: two
writers on one output. They are therefore awaited or cancelled before. Awaited ones lose nothing:
what they finish counts as done.
"""

import sys
import time
from pathlib import Path
from typing import Final, Literal

from derotate.runs.slurm import cluster
from derotate.runs.slurm.pending_reasons import never

Treatment = Literal["wait", "cancel"]

MARK: Final = Path(".snakemake", "derotate.runs.slurm")
"""Is there while a run on SLURM has begun and not ended, and names its machine."""
POLL_SECONDS: Final = 5.0


def settle(folder: Path, treatment: Treatment) -> None:
    """Return when no job of ours is left in `folder`.

    Jobs that can never start are cancelled in any case. While the cluster does not answer, the jobs
    are unknown, and unknown is not gone: the wait goes on.

    Raises:
        SlurmError: the cluster does not answer at the start, or refuses to cancel.
    """
    left = cluster.left_in(folder)
    if not left:
        return
    names = ", ".join(f"{job.number} ({job.rule}, {job.state.lower()})" for job in left)
    print(f"derotate: {_verb(treatment)} {len(left)} jobs of a dead run: {names}", file=sys.stderr)
    if treatment == "cancel":
        cluster.cancel(job.number for job in left)
    elif any(job.state == "RUNNING" for job in left):
        print("derotate: Ctrl-C and `--orphans cancel` ends them instead", file=sys.stderr)
    while left:
        cluster.cancel(job.number for job in left if never(job.reason))
        time.sleep(POLL_SECONDS)
        if cluster.answers():
            left = cluster.left_in(folder)


def require_none(folder: Path) -> None:
    """Make sure that no job of ours runs in `folder`, for a run that does not use SLURM.

    Raises:
        SlurmError: there are jobs, or the cluster does not tell.
    """
    if not (folder / MARK).exists():
        return
    try:
        left = cluster.left_in(folder)
    except cluster.SlurmError as error:
        raise cluster.SlurmError(
            f"a run on SLURM was killed here and its jobs are unknown ({error}); repeat it by "
            f"`make slurm`, or if no job is left remove {MARK}"
        ) from None
    if left:
        raise cluster.SlurmError(
            f"{len(left)} jobs of a killed run on SLURM are at work here, e.g. {left[0].number} "
            f"({left[0].rule}); repeat it by `make slurm`, which awaits or cancels them"
        )


def _verb(treatment: Treatment) -> str:
    return "cancelling" if treatment == "cancel" else "waiting for"
