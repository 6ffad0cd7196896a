# SPDX-License-Identifier: MIT
"""Start Snakemake on SLURM so that the same command resumes after any end of the last run.

Checks that need no job come first. Then, as in `single_writer`, the run becomes the only writer in
its directory: an exclusive `flock`, no live Snakemake, no orphaned jobs in SLURM's queue, no lock
of a dead Snakemake.
"""

import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from derotate.runs import single_writer as running
from derotate.runs.slurm import check_requests as requests
from derotate.runs.slurm import cluster
from derotate.runs.slurm import orphaned_jobs as orphans

ROOM: Final = 50 * 2**20
"""Free bytes that a run needs to start; a study of tiny models writes 100 MB."""
PROFILE: Final = ("--profile", "slurm")


def run(arguments: Sequence[str], treatment: orphans.Treatment) -> NoReturn:
    """Become `snakemake --profile slurm ARGUMENTS` in the current directory.

    Args:
        arguments: of Snakemake, behind the profile.
        treatment: of orphaned jobs in SLURM's queue.

    Raises:
        SlurmError: the cluster cannot run this; nothing was submitted.
        MissingConfigError: a config file in the arguments does not exist.
        BusyError: another run uses this directory.
        SystemExit: as of `derotate.runs.single_writer.unlock`.
    """
    folder = Path.cwd()
    arguments = [*PROFILE, *arguments]
    running.require_config_files(arguments)
    cluster.require_commands()
    cluster.require_controller()
    requests.require(arguments, cluster.inventory())
    require_room(folder)
    lock = running.take_lock(folder)
    require_this_host()
    running.respect_snakemake(folder, jobs=False)
    orphans.settle(folder, treatment)
    running.end_orphans(folder)
    if any(running.SNAKEMAKE_LOCKS.glob("*.lock")):
        running.unlock(arguments)
    orphans.MARK.write_text(socket.gethostname())
    running.become([sys.executable, "-m", "derotate.runs.slurm.executor", *arguments], lock)


def require_room(folder: Path) -> None:
    """Check the free disk space.

    Raises:
        SlurmError: it is below `ROOM`.
    """
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise cluster.SlurmError(
            f"{folder}: got {free / 2**20:.0f} MB free, expected at least {ROOM / 2**20:.0f}: free "
            "disk space, then repeat the same command"
        )


def require_this_host() -> None:
    """Check that no run of another machine uses this directory.

    On some shared file systems `flock` holds on one machine only.

    Raises:
        BusyError: one was started there and its end is not recorded.
    """
    there = orphans.MARK.read_text() if orphans.MARK.exists() else socket.gethostname()
    if there != socket.gethostname():
        raise running.BusyError(
            f"a run of {there} may still use this directory; repeat the command there, or remove "
            f"{orphans.MARK} if that run has ended"
        )
