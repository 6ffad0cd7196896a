# SPDX-License-Identifier: MIT
"""Why a job stays pending or failed, with the remedy.

Reason codes are those of `squeue` (JOB REASON CODES in its manual page); messages are those of
`sbatch`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

NEVER: Final = {
    "PartitionConfig": "no node of the partition fits it: lower its threads, mem_mb or gpu",
    "PartitionNodeLimit": "the partition allows fewer nodes than it asks for: lower its nodes",
    "PartitionTimeLimit": "the partition's time limit is below its runtime: lower its runtime",
    "BadConstraints": "no node meets its constraint or gres: correct them",
    "InvalidAccount": "the account does not exist: correct slurm_account",
    "AccountNotAllowed": "the partition does not take the account: correct slurm_account",
    "InvalidQOS": "the quality of service does not exist: correct slurm-qos",
    "QOSNotAllowed": "the partition does not take the quality of service: correct slurm-qos",
    "DependencyNeverSatisfied": "it depends on a job that has failed",
}
"""Reasons of pending jobs that will never start, with the remedy."""

_ABOVE_LIMIT: Final = re.compile(r"^(QOS|Assoc)\w*Max\w*(PerJob\w*|WallDuration\w*)$")
"""Limits per job. A job above a limit per user starts when others of the user have ended."""

REFUSED: Final = (
    ("invalid partition", "correct slurm_partition"),
    ("time limit", "the partition's time limit is below its runtime: lower its runtime"),
    ("memory specification", "no node has that much memory: lower its mem_mb"),
    ("invalid generic resource", "no such GPU: correct gpu, gpu_model or gres"),
    ("invalid feature", "no node has the feature: correct constraint"),
    ("account", "correct slurm_account"),
    ("qos", "correct slurm-qos"),
    ("node configuration", "no node fits it: lower mem_mb, threads or gpu; correct gpu_model"),
    ("contact slurm controller", "wait until the cluster answers"),
)  # fmt: skip
"""Parts of sbatch's error messages, with the remedy; the first match counts."""

ENDED: Final = {
    "TIMEOUT": "it ran longer than its runtime: raise it",
    "OUT_OF_MEMORY": "it used more memory than its mem_mb: raise it",
    "CANCELLED": "it was cancelled",
    "NODE_FAIL": "its node failed",
    "DEADLINE": "it could not finish before its deadline",
}
"""States in which SLURM ends a job, with the remedy."""

_WRITTEN: Final = (
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        "the disk is full ({}): free disk space, then repeat the same command, which resumes",
    ),
    # by polling, and by cgroups, which both may end a job as plainly FAILED
    (
        re.compile(r"(?i:exceeded (job |virtual )?memory limit)|oom[-_ ]kill"),
        "it used more memory than its mem_mb ({}): raise it",
    ),
)
"""Messages of SLURM and of scripts in logs, with their meaning."""
_SAID: Final = re.compile(r"The error message was '(.*?)'\.\n", re.DOTALL)
_NOISE: Final = re.compile(r"sbatch: error: (Batch job submission failed: )?")
_STATE: Final = re.compile(r"SLURM status is: '(\w+)'")


def never(reason: str) -> str | None:
    """Why a job with this reason will never start, and the remedy; None if it may."""
    if _ABOVE_LIMIT.match(reason):
        return "it requests more than the limit per job: lower its threads, mem_mb, gpu or runtime"
    return NEVER.get(reason)


def explained(message: str) -> str | None:
    """The plugin's message about a failed job, in one line; None if SLURM is not the cause."""
    said = _SAID.search(message)
    if said:
        words = "; ".join(dict.fromkeys(filter(None, map(_clean, said[1].splitlines()))))
        remedy = next((remedy for part, remedy in REFUSED if part in words.lower()), None)
        return f"sbatch refused it ({words})" + (f": {remedy}" if remedy else "")
    state = _STATE.search(message)
    if state and state[1] in ENDED:
        return f"SLURM ended it as {state[1]}: {ENDED[state[1]]}"
    return None


def explained_by_logs(logs: Iterable[Path]) -> str | None:
    """Disk or memory error in the logs of a failed job, in one line; None if there is none."""
    for log in logs:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        for pattern, what in _WRITTEN:
            words = pattern.search(text)
            if words:
                return what.format(words[0])
    return None


def _clean(line: str) -> str:
    return _NOISE.sub("", line).strip()
