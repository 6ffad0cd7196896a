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

from derotate.slurm import cluster
from derotate.slurm.reasons import never

Treatment = Literal["wait", "cancel"]

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


def _verb(treatment: Treatment) -> str:
    return "cancelling" if treatment == "cancel" else "waiting for"
