# SPDX-License-Identifier: MIT
"""Start Snakemake on SLURM so that the same command goes on after whatever ended the last run.

What can be known before anything is submitted is checked first. Then, as in `single_writer`, the
run makes sure that it is the only writer in its directory: one run at a time by an exclusive
`flock`, no live Snakemake, no jobs of a dead run in SLURM's queue, no lock of a dead Snakemake.
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
"""Bytes that must be free before a run; a study of tiny models writes 100 MB."""
PROFILE: Final = ("--profile", "slurm")


def run(arguments: Sequence[str], treatment: orphans.Treatment) -> NoReturn:
    """Become `snakemake --profile slurm ARGUMENTS` in the current directory.

    Args:
        arguments: of Snakemake, behind the profile.
        treatment: of jobs that a dead run left in SLURM's queue.

    Raises:
        SlurmError: the cluster cannot do this; nothing was submitted.
        MissingConfigError: a config file that is named does not exist.
        BusyError: another run is at work here.
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
    """Make sure that there is room on the disk for a run to start.

    Raises:
        SlurmError: there is not.
    """
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise cluster.SlurmError(
            f"{folder}: got {free / 2**20:.0f} MB free, expected at least {ROOM / 2**20:.0f}: make "
            "room, then repeat the same command"
        )


def require_this_host() -> None:
    """Make sure that no run of another machine may be at work here.

    On some shared file systems `flock` holds on one machine only.

    Raises:
        BusyError: one was started there and has not said that it ended.
    """
    there = orphans.MARK.read_text() if orphans.MARK.exists() else socket.gethostname()
    if there != socket.gethostname():
        raise running.BusyError(
            f"a run of {there} may be at work in this directory; repeat the command there, or if "
            f"it has ended remove {orphans.MARK}"
        )
