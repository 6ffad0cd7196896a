# SPDX-License-Identifier: MIT
"""The jobs of a dry run, read from Snakemake's log events instead of its text.

Snakemake logs each planned job as a record of Python's `logging`, with the fields that logger
plugins get (`snakemake_interface_logger_plugins`, LogEvent.JOB_INFO). The records reach the root
logger, so a handler there sees them without a plugin. Nothing is run, written or locked.
`derotate.planning.requested_totals` reads the same records for the table at the end of `-n`.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Final

from derotate.runs import local_executor

TARGET_RULE: Final = "all"
"""The default target rule; it only lists the results and runs nothing."""

_ERROR: Final = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b")
_LINES: Final = 6
"""Lines of an error that are shown: the error, its rule and its files."""


class DryRunError(RuntimeError):
    """Snakemake could not plan; the message is its error in one line."""


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    `script` (its name without suffix) and `params` are set only if the job comes from its rule
    (`derotate.runs.rule_jobs`), not if it comes from a log record.
    """

    rule: str
    message: str
    wildcards: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    logs: tuple[str, ...]
    benchmark: str | None
    threads: int
    resources: Mapping[str, Any]
    is_checkpoint: bool
    script: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The message of its rule, or the rule and its wildcards if there is no message."""
        values = ", ".join(f"{name} {value}" for name, value in self.wildcards.items())
        return self.message or (f"{self.rule} ({values})" if values else self.rule)


def planned(arguments: Sequence[str]) -> list[Job]:
    """The jobs of a dry run of `snakemake ARGUMENTS` here, in Snakemake's order, without `all`.

    Jobs that a checkpoint rule has yet to create are not included.

    Raises:
        DryRunError: Snakemake failed, e.g. because an input is missing or the config is wrong.
    """
    said = io.StringIO()
    with _events() as records, redirect_stdout(said), redirect_stderr(said):
        try:
            _snakemake(["--dry-run", "--nocolor", *arguments])
        except SystemExit as ended:
            if ended.code:
                # if the config is wrong, the Snakefile exits with the message as exit code
                reason = ended.code if isinstance(ended.code, str) else said.getvalue()
                raise DryRunError(_reason(reason)) from None
    return [job_of(record) for record in records if record.rule_name != TARGET_RULE]


def _snakemake(arguments: Sequence[str]) -> None:
    if local_executor.is_local(arguments):
        local_executor.main(arguments)
    else:
        from snakemake.cli import main

        main(list(arguments))


def waiting(failed: Job, jobs: Iterable[Job]) -> list[Job]:
    """The jobs that depend on `failed`, directly or through other jobs."""
    needing: dict[str, list[Job]] = {}
    for job in jobs:
        for name in job.inputs:
            needing.setdefault(name, []).append(job)
    found: dict[tuple[str, ...], Job] = {}
    todo = [failed]
    while todo:
        for name in todo.pop().outputs:
            for job in needing.get(name, []):
                if job.outputs not in found:
                    found[job.outputs] = job
                    todo.append(job)
    return list(found.values())


@contextmanager
def _events() -> Iterator[list[Any]]:
    """Records of the jobs that Snakemake plans within the block."""
    found: list[Any] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if event_of(record) == "job_info":
                found.append(record)

    handler = Collect()
    logging.getLogger().addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(handler)


def event_of(record: logging.LogRecord) -> str | None:
    """The LogEvent of a record of Snakemake; None if it has none."""
    return getattr(record, "event", None)


def job_of(record: Any) -> Job:
    """The job of a record with the event `job_info`."""
    return Job(
        rule=record.rule_name,
        message=record.rule_msg or "",
        wildcards={name: str(value) for name, value in record.wildcards.items()},
        inputs=tuple(map(_path, record.input)),
        outputs=tuple(map(_path, record.output)),
        logs=tuple(map(_path, record.log)),
        benchmark=_path(record.benchmark) if record.benchmark else None,
        threads=int(record.threads),
        resources=dict(record.resources.items()),
        is_checkpoint=bool(record.is_checkpoint),
    )


def _path(name: str) -> str:
    """A path without the flags that Snakemake appends, e.g. ` (send to storage)`."""
    return str(name).partition(" (")[0]


def _reason(said: str) -> str:
    """An error in one line, from the name of the error on, which is at the end of a traceback."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    start = next((n for n, line in enumerate(lines) if _ERROR.match(line)), -1)
    return " ".join(lines[start:][:_LINES]) or "Snakemake refused to plan"
