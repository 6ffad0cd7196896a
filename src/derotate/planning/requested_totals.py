# SPDX-License-Identifier: MIT
"""What a study asks of a cluster, by stage: the table at the end of `snakemake -n`.

It adds up what the planned jobs ask for (`derotate.resources`), so it holds for a model of any
size, and profiles count. Those are limits that no job should reach. `derotate plan` gives times as
measured, but on a cluster that has measured none it would scale a tiny model's CPU time to
billions of parameters; and it reads tables, for which a dry run has no time.

Jobs behind a landmark that has yet to be made are not in Snakemake's plan. The grid of the config
tells how many there will be, their rules what each asks for.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from derotate.config.budget import Budget
from derotate.planning.units import grid
from derotate.resources.formulas import MB, STATE_BYTES
from derotate.resources.stages import model_size
from derotate.runs.dry_run import TARGET_RULE, Job, event_of, job_of
from derotate.study.paths import Run, runs

if TYPE_CHECKING:
    from snakemake.workflow import Workflow

    from derotate.config.schema import Config

STAGES: Final = tuple(Budget.model_fields)
"""As `derotate plan` and the budget have them: a job's benchmark lies in a folder of that name."""
BEHIND_LANDMARKS: Final = frozenset(
    {"base_factors", "factors", "spectra", "surgery", "states", "weights"}
)
"""Rules whose jobs the tables ask for once they know the landmarks."""

_STAGE: Final = re.compile(rf"benchmarks/({'|'.join(STAGES)})/")
_GPUS: Final = re.compile(r"gpu(?::[^:,]+)??(?::(\d+))?(?=,|$)")
"""Of a `gres` of SLURM: gpu, gpu:4, gpu:a100:4."""
_NOTES: Final = (
    "Hours, memory and disk: what jobs ask for at first. Limits; `derotate plan` tells times.",
    "later: at most so many more behind landmarks yet to be made; counted in.",
    "memory: of the largest job. kept: files that stay when all is done.",
)


@dataclass(frozen=True)
class Ask:
    """What jobs that are alike ask for.

    Attributes:
        stage: one of STAGES.
        jobs: how many they are.
        later: whether they are behind a landmark.
        minutes: that each may take.
        threads: that each holds.
        gpus: that each holds.
        memory: megabytes that each may take.
        kept: megabytes of files that each leaves for good.
    """

    stage: str
    jobs: int
    later: bool
    minutes: float
    threads: int
    gpus: int
    memory: float
    kept: float


@dataclass(frozen=True)
class Total:
    """What a stage, or all of them, ask for.

    Attributes:
        name: of the stage.
        jobs: that Snakemake has planned.
        later: jobs behind landmarks, at most; in what follows they are counted in.
        core_hours: threads times time.
        gpu_hours: GPUs times time.
        memory: gigabytes of the largest job.
        kept: gigabytes of files that stay.
    """

    name: str
    jobs: int
    later: int
    core_hours: float
    gpu_hours: float
    memory: float
    kept: float


def ask_of(job: Job, config: Config) -> Ask:
    """What a planned job of a study asks for."""
    found = _STAGE.search(job.benchmark or "")
    return _ask(found.group(1) if found else "rest", job.resources, threads=job.threads,
                kept=_kept(job, config))  # fmt: skip


def _ask(
    stage: str,
    asked: Mapping[str, Any],
    *,
    threads: int,
    kept: float | None = None,
    jobs: int = 1,
    later: bool = False,
) -> Ask:
    disk = _number(asked, "disk_mb")
    return Ask(stage, jobs, later, _number(asked, "runtime"), threads, gpus(asked),
               _number(asked, "mem_mb"), disk if kept is None else kept)  # fmt: skip


def _number(asked: Mapping[str, Any], name: str) -> float:
    """A resource; 0 if none is asked for, or if it depends on files that are yet to be made."""
    value = asked.get(name, 0)
    return value if isinstance(value, int | float) else 0


def gpus(asked: Mapping[str, Any]) -> int:
    """GPUs among the resources of a job, by the names that the plugin for SLURM knows."""
    if asked.get("gpu"):
        return int(asked["gpu"])
    return sum(int(count or 1) for count in _GPUS.findall(str(asked.get("gres") or "")))


def _kept(job: Job, config: Config) -> float | None:
    """Megabytes that training leaves; None for other jobs, which keep all that they write.

    A training job also writes the state from which a killed one goes on. The last segment of SFT
    keeps its own, for a segment that is yet to be added; the others are removed.
    """
    weights = sum(name.endswith("/model.safetensors") for name in job.outputs)
    if not weights:
        return None
    size = model_size(config)
    newest = f"/sft/state-{config.sft.segments[-1][-1]}"
    state = STATE_BYTES if any(name.endswith(newest) for name in job.outputs) else 0
    return (size.bytes_each * weights + state) * size.parameters / MB


def later(
    config: Config,
    pending: Collection[Run],
    resources: Callable[[str], Mapping[str, Any]],
    prefix: str = "",
) -> Iterator[Ask]:
    """What the jobs ask for that appear once the landmarks of some runs are made.

    At most: a job whose result is there will not be repeated, and two landmarks that turn out to
    be one checkpoint take fewer.

    Args:
        config: of the study.
        pending: runs without landmarks.
        resources: what a job of the rule of that name asks for, its threads as `_cores`.
        prefix: what the names of the study's rules begin with.
    """
    # a base of which one run has landmarks is decomposed already, or its job is among the planned
    bases = {run.base_seed for run in pending} - {
        run.base_seed for run in runs(config) if run not in pending
    }
    each = {"run": len(pending), "base": len(bases)}
    cells = [cell for unit in grid(config).units for cell in unit.cells]
    counts = Counter(
        (cell.rule, cell.stage, cell.level)
        for cell in (*grid(config).core, *cells)
        if cell.rule in BEHIND_LANDMARKS
    )
    for (rule, stage, level), number in counts.items():
        if number * each[level]:
            asked = resources(prefix + rule)
            yield _ask(stage, asked, threads=int(asked["_cores"]), later=True,
                       jobs=number * each[level])  # fmt: skip


def totals(asks: Iterable[Ask]) -> list[Total]:
    """What each stage asks for that has jobs, and at last all of them."""
    every = list(asks)
    by_stage = [(name, [ask for ask in every if ask.stage == name]) for name in STAGES]
    return [_total(name, part) for name, part in [*by_stage, ("all", every)] if part]


def _total(name: str, asks: Sequence[Ask]) -> Total:
    hours = [ask.jobs * ask.minutes / 60 for ask in asks]
    return Total(
        name=name,
        jobs=sum(ask.jobs for ask in asks if not ask.later),
        later=sum(ask.jobs for ask in asks if ask.later),
        core_hours=sum(hour * ask.threads for hour, ask in zip(hours, asks, strict=True)),
        gpu_hours=sum(hour * ask.gpus for hour, ask in zip(hours, asks, strict=True)),
        memory=max(ask.memory for ask in asks) / 1000,
        kept=sum(ask.jobs * ask.kept for ask in asks) / 1000,
    )


def in_words(rows: Sequence[Total]) -> str:
    """The table as text, with what its columns are."""
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
    return "\n".join(["Asked for by stage:", *lines, *_NOTES, ""])


def studies(
    jobs: Iterable[Job],
    configs: Mapping[str, Config],
    resources: Callable[[str], Mapping[str, Any]],
) -> Iterator[Ask]:
    """What the planned jobs of one or several studies ask for, those behind landmarks too.

    Args:
        jobs: that Snakemake has planned.
        configs: by what the names of the rules of a study begin with; the main one's with nothing.
        resources: as `later` takes them, by the whole name of a rule.
    """
    planned = [job for job in jobs if job.rule != TARGET_RULE]
    longest_first = sorted(configs, key=len, reverse=True)
    prefixes = {
        rule: next(prefix for prefix in longest_first if rule.startswith(prefix))
        for rule in {job.rule for job in planned}
    }
    for job in planned:
        yield ask_of(job, configs[prefixes[job.rule]])
    for prefix, config in configs.items():
        if f"{prefix}tables" in prefixes:  # which ask for what is behind landmarks
            pending = {
                Run(int(job.wildcards["base_seed"]), int(job.wildcards["seed"]))
                for job in planned
                if job.rule == f"{prefix}landmarks"
            }
            yield from later(config, pending, resources, prefix)


class _AtTheEnd(logging.Handler):
    """Collects the jobs of a dry run, and says what they ask for after Snakemake's own counts."""

    def __init__(self, says: Callable[[Sequence[Job]], None]) -> None:
        super().__init__()
        self._says = says
        self._jobs: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        match event_of(record):
            case "job_info":
                self._jobs.append(job_of(record))
            # the counts come twice: before the jobs, and behind them
            case "run_info" if self._jobs:
                self._says(self._jobs)
                self._jobs = []


def tell(workflow: Workflow, configs: Mapping[str, Config]) -> None:
    """Let a dry run end with the table.

    It is as loud as Snakemake's counts of jobs: `--quiet` and `--quiet progress` are without.

    Args:
        workflow: of Snakemake, a dry run.
        configs: of its studies, by what the names of their rules begin with.
    """
    from snakemake.iocontainers import InputFiles, Wildcards
    from snakemake.logging import logger
    from snakemake.settings.enums import Quietness

    def resources(name: str) -> Mapping[str, Any]:
        # no rule of ours asks by its wildcards or inputs
        rule = workflow.get_rule(name)
        asked: Any = rule.expand_resources(Wildcards(fromdict={}), InputFiles(), 1)
        return dict(asked.items())

    def says(jobs: Sequence[Job]) -> None:
        text = in_words(totals(studies(jobs, configs, resources)))
        logger.info(text, extra={"quietness": Quietness.PROGRESS})

    logger.addHandler(_AtTheEnd(says))
