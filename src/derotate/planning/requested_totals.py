# SPDX-License-Identifier: MIT
"""Requested resources of a study by stage: the table at the end of `snakemake -n`.

It sums the resources of the planned jobs (`derotate.resources`), including settings of the profile,
so it works for a model of any size. Requests are limits that no job should reach. `derotate plan`
predicts times from measurements instead. Without measurements on a cluster it would scale a tiny
model's CPU time to billions of parameters, and it reads tables, which is too slow for a dry run.

Jobs that depend on landmarks that do not exist yet are not in Snakemake's plan. They are counted
from the rules, with a peak for which no file exists yet, so their number is an upper bound.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from derotate.config.budget import Budget
from derotate.resources.formulas import MB, STATE_BYTES
from derotate.resources.stages import model_size
from derotate.runs.dry_run import Job, event_of, job_of
from derotate.runs.rule_jobs import jobs_for
from derotate.study.paths import UNKNOWN_PEAK, Paths, files_after_landmarks, runs

if TYPE_CHECKING:
    from snakemake.workflow import Workflow

    from derotate.config.schema import Config

STAGES: Final = tuple(Budget.model_fields)
"""The stages of `derotate plan` and the budget: a job's benchmark is in a folder of that name."""
_STAGE: Final = re.compile(rf"benchmarks/({'|'.join(STAGES)})/")
_GPUS: Final = re.compile(r"gpu(?::[^:,]+)??(?::(\d+))?(?=,|$)")
"""Of a `gres` of SLURM: gpu, gpu:4, gpu:a100:4."""
_NOTES: Final = (
    "Hours, memory and disk: limits that jobs request at their first attempt; `derotate plan` "
    "predicts times.",
    "later: upper bound on jobs created after the landmarks checkpoint; included in the totals.",
    "memory: of the largest job. kept: files that remain at the end.",
)


@dataclass(frozen=True)
class Request:
    """The resources that one job requests.

    Attributes:
        stage: one of STAGES.
        later: whether the job is created only after the landmarks checkpoint.
        minutes: time limit.
        threads: number of cores.
        gpus: number of GPUs.
        memory: memory limit in megabytes.
        kept: megabytes of files that remain after the run.
    """

    stage: str
    later: bool
    minutes: float
    threads: int
    gpus: int
    memory: float
    kept: float


@dataclass(frozen=True)
class Total:
    """The requests of a stage, or of all of them.

    Attributes:
        name: of the stage.
        jobs: number of jobs that Snakemake has planned.
        later: upper bound on jobs created after the landmarks checkpoint; included in the columns
            that follow.
        core_hours: threads times time.
        gpu_hours: GPUs times time.
        memory: gigabytes of the largest job.
        kept: gigabytes of files that remain.
    """

    name: str
    jobs: int
    later: int
    core_hours: float
    gpu_hours: float
    memory: float
    kept: float


def request_of(job: Job, config: Config, *, later: bool = False) -> Request:
    """The resources that a job of a study requests."""
    found = _STAGE.search(job.benchmark or "")
    weights = _kept_weights(job, config)
    return Request(
        stage=found.group(1) if found else "rest",
        later=later,
        minutes=_number(job.resources, "runtime"),
        threads=job.threads,
        gpus=gpus(job.resources),
        memory=_number(job.resources, "mem_mb"),
        kept=_number(job.resources, "disk_mb") if weights is None else weights,
    )


def _number(resources: Mapping[str, Any], name: str) -> float:
    """A resource; 0 if it is not requested, or if it depends on files that do not exist yet."""
    value = resources.get(name, 0)
    return value if isinstance(value, int | float) else 0


def gpus(resources: Mapping[str, Any]) -> int:
    """Number of GPUs that a job requests, by any resource name that the SLURM plugin reads."""
    if resources.get("gpu"):
        return int(resources["gpu"])
    return sum(int(count or 1) for count in _GPUS.findall(str(resources.get("gres") or "")))


def _kept_weights(job: Job, config: Config) -> float | None:
    """Megabytes that remain after a training job; None for other jobs, whose outputs all remain.

    A training job also writes training states to resume from. Only the state of the last SFT
    segment remains, since a segment may be added later.
    """
    weights = sum(name.endswith("/model.safetensors") for name in job.outputs)
    if not weights:
        return None
    size = model_size(config)
    newest = f"/sft/state-{config.sft.segments[-1][-1]}"
    state = STATE_BYTES if any(name.endswith(newest) for name in job.outputs) else 0
    return (size.bytes_each * weights + state) * size.parameters / MB


def jobs_after_landmarks(
    workflow: Workflow, config: Config, planned: Sequence[Job]
) -> Iterator[Job]:
    """Upper bound on the jobs of a study that are created after the landmarks checkpoint.

    Runs differ in their folders only. So the rules are expanded for one run, and its paths are
    renamed for the others: expanding every run would take a quarter of the time of a dry run.

    Args:
        workflow: with the rules of the study.
        config: of the study.
        planned: jobs that Snakemake has planned. Landmarks that no other planned job needs create
            no further jobs.
    """
    outputs = {name for job in planned for name in job.outputs}
    needed = {name for job in planned for name in job.inputs}
    found = [Paths.of(config, run) for run in runs(config)]
    waiting = [paths for paths in found if paths.landmarks in outputs & needed]
    if not waiting:
        return
    first = waiting[0]
    jobs = jobs_for(workflow, files_after_landmarks(config, first, UNKNOWN_PEAK)).values()
    created: set[tuple[str, ...]] = set()
    for paths in waiting:
        renamed = partial(_renamed, known=first, wanted=paths)
        own = [
            _of_run(job, renamed)
            for job in jobs
            # nearly all jobs before the landmarks are planned already
            if not outputs.issuperset(map(renamed, job.outputs))
        ]
        requested = frozenset(files_after_landmarks(config, paths, UNKNOWN_PEAK))
        for job in _pending(own, requested, outputs):
            # runs of one base share its jobs
            if job.outputs not in created:
                created.add(job.outputs)
                yield job


def _renamed(path: str, known: Paths, wanted: Paths) -> str:
    """The path of one run as that of another run."""
    in_run = path.replace(f"{known.run}/", f"{wanted.run}/")
    return in_run.replace(f"{known.base}/", f"{wanted.base}/")


def _of_run(job: Job, renamed: Callable[[str], str]) -> Job:
    """The job with the paths of another run."""
    return replace(
        job,
        inputs=tuple(map(renamed, job.inputs)),
        outputs=tuple(map(renamed, job.outputs)),
        benchmark=renamed(job.benchmark) if job.benchmark else None,
    )


def _pending(
    jobs: Sequence[Job], requested: frozenset[str], planned: Container[str]
) -> Iterator[Job]:
    """The jobs of a run that have to run for the requested files and are not planned yet."""
    makes = {name: job for job in jobs for name in job.outputs if name not in planned}

    @cache
    def is_pending(path: str) -> bool:
        """Whether a file is missing, planned, or depends on such a file."""
        job = makes.get(path)
        if job is None:
            return path in planned
        return path in requested or not Path(path).exists() or any(map(is_pending, job.inputs))

    yield from {job.outputs: job for path, job in makes.items() if is_pending(path)}.values()


def requests(
    workflow: Workflow, configs: Iterable[Config], planned: Sequence[Job]
) -> Iterator[Request]:
    """The requests of all jobs of one or several studies, with those created after landmarks."""
    by_study = {f"{Paths.of(config).study}/": config for config in configs}
    for job in planned:
        config = next((each for folder, each in by_study.items()
                       if (job.benchmark or "").startswith(folder)), None)  # fmt: skip
        if config is not None:
            yield request_of(job, config)
    for config in by_study.values():
        for job in jobs_after_landmarks(workflow, config, planned):
            yield request_of(job, config, later=True)


def totals(requested: Iterable[Request]) -> list[Total]:
    """The totals of each stage that has jobs, then those of all stages."""
    every = list(requested)
    by_stage = [(name, [each for each in every if each.stage == name]) for name in STAGES]
    return [_total(name, part) for name, part in [*by_stage, ("all", every)] if part]


def _total(name: str, requested: Sequence[Request]) -> Total:
    return Total(
        name=name,
        jobs=sum(not each.later for each in requested),
        later=sum(each.later for each in requested),
        core_hours=sum(each.minutes / 60 * each.threads for each in requested),
        gpu_hours=sum(each.minutes / 60 * each.gpus for each in requested),
        memory=max(each.memory for each in requested) / 1000,
        kept=sum(each.kept for each in requested) / 1000,
    )


def table(rows: Sequence[Total]) -> str:
    """The table as text, with a legend of its columns."""
    head = ("stage", "jobs", "later", "core hours", "GPU hours", "memory (GB)", "kept (GB)")
    cells = [head] + [
        (row.name, f"{row.jobs}", f"{row.later}", f"{row.core_hours:,.1f}", f"{row.gpu_hours:,.1f}",
         f"{row.memory:,.1f}", f"{row.kept:,.2f}")
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(["Requested by stage:", *lines, *_NOTES, ""])


class _TotalsAtTheEnd(logging.Handler):
    """Collects the jobs of a dry run and prints the totals after Snakemake's job counts."""

    def __init__(self, print_totals: Callable[[Sequence[Job]], None]) -> None:
        super().__init__()
        self._print_totals = print_totals
        self._jobs: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        match event_of(record):
            case "job_info":
                self._jobs.append(job_of(record))
            # Snakemake logs its counts twice: before and after the jobs
            case "run_info" if self._jobs:
                self._print_totals(self._jobs)
                self._jobs = []


def print_after_dry_run(workflow: Workflow, configs: Iterable[Config]) -> None:
    """Print the table at the end of a dry run.

    Like Snakemake's job counts, it is left out with `--quiet` and `--quiet progress`.

    Args:
        workflow: of Snakemake, a dry run.
        configs: of its studies.
    """
    from snakemake.logging import logger
    from snakemake.settings.enums import Quietness

    def print_totals(jobs: Sequence[Job]) -> None:
        text = table(totals(requests(workflow, configs, jobs)))
        logger.info(text, extra={"quietness": Quietness.PROGRESS})

    logger.addHandler(_TotalsAtTheEnd(print_totals))
