# SPDX-License-Identifier: MIT
"""How a run of Snakemake ended, parsed from its log.

`.snakemake/log/` has one file per run, for every executor and profile. Dry runs and the Snakemake
processes inside SLURM jobs write none. The format is plain text of the pinned version. Tests
compare the parser with real runs and with Snakemake's own formatter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

LOGS: Final = Path(".snakemake", "log")

_JOB: Final = re.compile(r"\s*Job (\d+): (.*)")
_FINISHED: Final = re.compile(r"\s*Finished jobid: (\d+) \(Rule: ")
_ERROR: Final = re.compile(r"(\s*)Error in rule (\w+):")
_ITEM: Final = re.compile(r"\s+(message|jobid|output|log|external_jobid): (.*)")
_HINT: Final = " (check log file(s) for error details)"
_DATE: Final = re.compile(r"  Date: (.*)")
_COMMAND: Final = re.compile(r"  Command: (.*)")
_RULE: Final = re.compile(r"\s*(?:local)?(?:rule|checkpoint) (\w+):")
_JOBID: Final = re.compile(r"\s+jobid: (\d+)")


class Ending(Enum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """By Ctrl-C or SIGTERM."""
    REFUSED = "refused"
    """Before the first job, e.g. because an input is missing."""
    KILLED = "killed"
    """While jobs ran, without a final line; or still running."""


@dataclass(frozen=True)
class Failure:
    """A job that failed and did not succeed in a later attempt."""

    rule: str
    jobid: int
    title: str
    """The rule's message, or the rule's name where it has none."""
    outputs: tuple[str, ...]
    logs: tuple[str, ...]
    """The rule's own log first, then the log of SLURM, if there is one."""
    error: str
    """Message of the executor, e.g. the state of the SLURM job; often empty."""
    attempts: int


@dataclass(frozen=True)
class RunLog:
    """A run, as its log describes it."""

    path: Path
    date: str
    command: tuple[str, ...]
    ending: Ending
    done: int
    failures: tuple[Failure, ...]
    interrupted: tuple[str, ...]
    """Titles of the jobs that started and neither finished nor failed."""
    error_lines: tuple[str, ...]
    """Lines of the error that ended the run before the first job."""


def newest(directory: Path) -> list[Path]:
    """The logs of the runs in `directory`, the last run first."""
    return sorted((directory / LOGS).glob("*.snakemake.log"), reverse=True)


def read(path: Path) -> RunLog:
    """Parse the log of a run, which may still be running."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    titles = _titles(lines)
    finished = {int(found[1]) for line in lines if (found := _FINISHED.match(line))}
    failures = [failure for failure in _failures(lines, titles) if failure.jobid not in finished]
    ended = finished | {failure.jobid for failure in failures}
    return RunLog(
        path=path,
        date=_first(_DATE, lines),
        command=tuple(_first(_COMMAND, lines).split()),
        ending=_ending(lines, began=bool(titles)),
        done=len(finished),
        failures=tuple(failures),
        interrupted=tuple(title for jobid, title in titles.items() if jobid not in ended),
        error_lines=_error_lines(lines),
    )


def _titles(lines: Sequence[str]) -> dict[int, str]:
    """Title of each started job by id: its message, or its rule if it has none."""
    titles: dict[int, str] = {}
    rule = ""
    for line in lines:
        if found := _JOB.match(line):
            titles[int(found[1])] = found[2]
        elif found := _RULE.match(line):
            rule = found[1]
        elif _ERROR.match(line):
            rule = ""
        elif rule and (found := _JOBID.match(line)):
            titles[int(found[1])] = rule
            rule = ""
    return titles


def _failures(lines: Sequence[str], titles: dict[int, str]) -> Iterator[Failure]:
    """Failed jobs, each once: the log of a SLURM job, shown in the run's, repeats its error."""
    blocks: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for number, line in enumerate(lines):
        if found := _ERROR.match(line):
            block = {"rule": found[2]}
            for item in lines[number + 1 :]:
                named = _ITEM.match(item)
                if named:
                    block.setdefault(named[1], named[2])
                elif not item.startswith(f"{found[1]}    "):
                    break
            key = (block["rule"], *_names(block.get("output", "")))
            blocks.setdefault(key, []).append(block)
    for (rule, *outputs), tries in blocks.items():
        jobid = int(tries[0].get("jobid", -1))
        own, *slurm = dict.fromkeys(
            [name for block in tries for name in _names(block.get("log", ""))] or [""]
        )
        errors = [text for block in tries if (text := _error(block.get("message", "")))]
        yield Failure(
            rule=rule,
            jobid=jobid,
            title=titles.get(jobid, rule),
            outputs=tuple(outputs),
            # each attempt has its own SLURM log; the log of the rule is overwritten
            logs=tuple(filter(None, (own, *slurm[-1:]))),
            error=errors[-1] if errors else "",
            attempts=1 + sum(line.strip() == f"Trying to restart job {jobid}." for line in lines),
        )


def _names(value: str) -> list[str]:
    return [name for name in value.removesuffix(_HINT).split(", ") if name]


def _error(message: str) -> str:
    """The executor's message without its advice to look at the logs, which the report shows."""
    return "" if message == "None" else message.partition("For further error details")[0].strip()


def _ending(lines: Sequence[str], *, began: bool) -> Ending:
    text = "\n".join(lines)
    if "Terminating processes on user request" in text or "Will exit after finishing" in text:
        return Ending.STOPPED
    if "Nothing to be done (" in text:
        return Ending.DONE
    if "Complete log(s): " in text:
        return Ending.FAILED if "Exiting because a job execution failed" in text else Ending.DONE
    return Ending.KILLED if began else Ending.REFUSED


def _error_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines from the first error after planning on."""
    start = next((n for n, line in enumerate(lines) if line.startswith("Building DAG")), None)
    after = lines[start + 1 :] if start is not None else []
    errors = [n for n, line in enumerate(after) if re.match(r"\w*(?:Error|Exception)\b", line)]
    return tuple(after[errors[0] :]) if errors else ()


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> str:
    return next((found[1] for line in lines if (found := pattern.match(line))), "")
