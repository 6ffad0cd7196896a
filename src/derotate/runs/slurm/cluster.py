# SPDX-License-Identifier: MIT
"""Queries of SLURM: whether it answers, its partitions and GPUs, and the jobs of derotate.

Each query is one command with a time limit. None needs the accounting database.
"""

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

COMMANDS: Final = ("sbatch", "squeue", "scontrol", "sinfo", "scancel")
PREFIX: Final = "derotate"
"""Prefix of the names of our jobs (`slurm-jobname-prefix` of the profile)."""

CALL_SECONDS: Final = 60.0
"""Time limit of a call; SLURM's commands themselves retry for 10 s and more."""

_JOB: Final = "%i|%T|%r|%j|%k|%Z"


class SlurmError(RuntimeError):
    """The cluster cannot serve the request; one line with cause and remedy."""


@dataclass(frozen=True)
class Job:
    """A job as squeue shows it.

    Attributes:
        number: SLURM's job id, with the task id for an array job.
        state: e.g. `RUNNING`, `PENDING`.
        reason: why it is pending; the string `None` while it runs.
        name: the prefix and the id of the run, the same for all jobs of a run.
        comment: Snakemake's rule and wildcards.
        folder: working directory.
    """

    number: str
    state: str
    reason: str
    name: str
    comment: str
    folder: str

    @property
    def rule(self) -> str:
        """The rule with its wildcards, as the plugin writes them into the comment."""
        return self.comment.removeprefix("rule_").replace("_wildcards_", " ")


@dataclass(frozen=True)
class Inventory:
    """Names of partitions and GPU types of the cluster.

    Attributes:
        partitions: names of the partitions.
        gpus: types of GPUs; a GPU without a type counts as the type "".
    """

    partitions: frozenset[str]
    gpus: frozenset[str]


def require_commands() -> None:
    """Check that SLURM's commands are installed.

    Raises:
        SlurmError: one is not on PATH.
    """
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise SlurmError(
            f"SLURM: {', '.join(missing)} not found on PATH; run this on a login node of the "
            "cluster, or run the study on this machine (make demo)"
        )


def require_controller() -> None:
    """Check that the cluster answers.

    Raises:
        SlurmError: it does not; with the message of SLURM.
    """
    reply = _call(["scontrol", "ping"], check=False)
    if " is UP" not in reply:
        reply = " ".join(reply.split()) or "no answer"
        raise SlurmError(
            f"slurmctld does not answer ({reply}); wait or ask the administrator, then repeat "
            "the same command"
        )


def answers() -> bool:
    """Whether slurmctld answers."""
    try:
        require_controller()
    except SlurmError:
        return False
    return True


def inventory() -> Inventory:
    """Partitions and types of GPUs of the cluster.

    Raises:
        SlurmError: the cluster does not answer.
    """
    lines = [line.split("|") for line in _call(["sinfo", "-h", "-o", "%R|%G"]).splitlines()]
    return Inventory(
        partitions=frozenset(partition for partition, _ in lines),
        gpus=frozenset(kind for _, gres in lines for kind in gpu_types(gres)),
    )


def gpu_types(gres: str) -> list[str]:
    """Types of the GPUs in a list of generic resources, such as `gpu:a100:4(S:0-1),disk:1`."""
    found = []
    for item in gres.replace("(S:", "\0").split(","):
        name, *rest = item.split("\0")[0].split(":")
        if name == "gpu":
            found.append(rest[0] if rest and not rest[0].isdigit() else "")
    return found


def left_in(folder: Path) -> list[Job]:
    """Pending and running jobs of all runs of `folder`.

    The working directory distinguishes checkouts; the name of a job does not.

    Raises:
        SlurmError: the cluster does not answer.
    """
    here = folder.resolve()
    return [
        job
        for job in _jobs("--me")
        if job.name.startswith(PREFIX) and Path(job.folder).resolve() == here
    ]


def jobs_of(run: str) -> list[Job]:
    """All jobs of a run that SLURM still knows, finished ones included.

    Raises:
        SlurmError: the cluster does not answer.
    """
    return _jobs("--states=all", f"--name={run}")


def _jobs(*options: str) -> list[Job]:
    said = _call(["squeue", *options, "--array", "--noheader", "--format", _JOB])
    return [Job(*line.split("|", 5)) for line in said.splitlines() if line.count("|") >= 5]


def cancel(numbers: Iterable[str]) -> None:
    """Cancel jobs.

    Raises:
        SlurmError: SLURM refuses.
    """
    numbers = list(numbers)
    if numbers:
        _call(["scancel", *numbers])


def _call(command: Sequence[str], *, check: bool = True) -> str:
    """Output of a command; with its errors if `check` is false.

    Raises:
        SlurmError: the command failed and `check` is true.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CALL_SECONDS, check=False
        )
    except FileNotFoundError:
        raise SlurmError(f"{command[0]}: not found on PATH") from None
    except subprocess.TimeoutExpired:
        if check:
            raise SlurmError(f"{command[0]}: no answer within {CALL_SECONDS:.0f} s") from None
        return ""
    if check and done.returncode:
        raise SlurmError(f"{command[0]}: {' '.join(done.stderr.split())}")
    return done.stdout if check else done.stdout + done.stderr
