# SPDX-License-Identifier: MIT
"""The grid of a study for planning: cells, and units of cells that a config can leave out.

A cell is one job of a base, of a run or of the study. A unit is a part that a config can leave
out: a later SFT segment, an RL run from a start, an arm, a recipe, reverse surgery, diagnostics,
the phase diagram. A unit names the files that it adds to a run; the workflow's rules say which jobs
make them. All other jobs are the core, which every plan has: the tables, and SFT up to
`landmarks.sft_end` with all of its steps, since the step of the peak is not known in advance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Literal

from derotate.config.schema import Config
from derotate.planning.costs import Device, Prices, Work, devices, work_of_job
from derotate.runs.dry_run import Job
from derotate.runs.rule_jobs import all_targets, jobs_for, parse
from derotate.study import phase_paths
from derotate.study.arms import arm_steps
from derotate.study.checkpoint import Checkpoint
from derotate.study.paths import (
    UNKNOWN_PEAK,
    Paths,
    diagnostics_files,
    rl_checkpoint,
    rl_end,
    rl_starts,
    runs,
    spectral_pairs,
    stage_labels,
    variants,
)

Level = Literal["study", "base", "run"]
_PEAK_LABEL = re.compile(rf"\b{Checkpoint.sft(UNKNOWN_PEAK).label}\b")
_STAGE_AND_NAME = re.compile(r".*/benchmarks/(.+)\.tsv")


@dataclass(frozen=True)
class Unit:
    """A part of a study that a config can leave out.

    Attributes:
        name: e.g. `rl-grpo-60`, `surgery-rollback`.
        files: files that it adds to a run.
        needs: units without which the config is refused or an input is missing.
        shared: whether other units may build on its jobs.
    """

    name: str
    files: tuple[str, ...]
    needs: tuple[str, ...] = ()
    shared: bool = False


@dataclass(frozen=True)
class Cell:
    """One job of the study, of each base or of each run.

    Attributes:
        rule: Snakemake rule.
        name: of its benchmark, stage/rest.
        level: whether there is one such job per study, per base or per run.
        work: kind and amount of work.
    """

    rule: str
    name: str
    level: Level
    work: Work

    @property
    def stage(self) -> str:
        """Stage of the budget that the cell belongs to."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class PricedCell:
    """A cell and its cost: fixed seconds, seconds per run of the study, and number of devices."""

    cell: Cell
    fixed: int
    per_run: int
    devices: int
    source: str

    def seconds(self, runs: int) -> int:
        """Seconds in a study with this number of runs, rounded up."""
        return self.fixed + self.per_run * runs


@dataclass(frozen=True)
class Grid:
    """All cells of a config.

    Attributes:
        core: cells of every plan.
        cells: unit -> its cells. Jobs that several units share have entries of their own
            (supports): a plan includes a support if it includes a unit that needs it.
        needs: unit or support -> the units and supports that it requires.
        support: names of the supports.
    """

    core: tuple[Cell, ...]
    cells: Mapping[str, tuple[Cell, ...]]
    needs: Mapping[str, tuple[str, ...]]
    support: frozenset[str]

    @property
    def all_cells(self) -> list[Cell]:
        """The cells of the core and of all units."""
        return [*self.core, *(cell for own in self.cells.values() for cell in own)]


@cache
def units(config: Config) -> tuple[Unit, ...]:
    """The units of a config, without parsing the workflow.

    Among units of equal cost and value, a plan takes the first. So RL starts are ordered such that
    each lies as far as possible from those before it; recipes are in the order of the config.
    """
    paths = Paths.of(config, runs(config)[0])
    found = [*_later_segments(config, paths), *_rl(config, paths), *_surgery(config, paths)]
    return (*found, *_diagnostics(config, paths), *_arms(config, paths), *_phase(config, paths))


@cache
def grid(config: Config) -> Grid:
    """The cells of a config by unit: the jobs of one run according to the workflow's rules."""
    one_run = config.model_copy(
        update={"base_seeds": config.base_seeds[:1], "seeds": config.seeds[:1], "also": ()}
    )
    workflow, known = parse(one_run), units(one_run)
    core = jobs_for(workflow, _core_files(one_run))
    reached = {unit.name: _new_jobs(jobs_for(workflow, unit.files), core) for unit in known}
    owner, support = _owners(known, reached)
    everything = jobs_for(workflow, [*all_targets(workflow), *core]) | dict(
        item for own in reached.values() for item in own.items()
    )
    cells: dict[str, list[Cell]] = {name: [] for name in (*reached, *support, "")}
    for outputs, job in {job.outputs: job for job in everything.values()}.items():
        cells[owner.get(outputs, "")].append(_cell(one_run, job))
    needs = {
        unit.name: tuple(
            dict.fromkeys((*unit.needs, *_owned_by_others(unit.name, reached[unit.name], owner)))
        )
        for unit in known
    }
    return Grid(
        core=tuple(cells.pop("")),
        cells={name: tuple(own) for name, own in cells.items()},
        needs=needs | dict.fromkeys(support, ()),
        support=frozenset(support),
    )


def priced(cells: Iterable[Cell], prices: Prices, device: Device) -> list[PricedCell]:
    """Cells with their costs."""
    found = []
    for cell in cells:
        price = prices.of(cell.work)
        found.append(PricedCell(cell, ceil(price.seconds), ceil(price.per_run),
                                devices(cell.work, device), price.source))  # fmt: skip
    return found


def core_segments(config: Config) -> int:
    """Number of SFT segments up to `landmarks.sft_end`."""
    ends = [config.landmarks.sft_end <= segment[-1] for segment in config.sft.segments]
    return ends.index(True) + 1


def rl_unit(algorithm: str, start: int) -> str:
    """Name of the unit of an RL run."""
    return Checkpoint.rl(algorithm, start).label


def rl_end_unit(config: Config) -> str | None:
    """The unit of the RL run that is the landmark `rl_end`; None in a study without RL."""
    end = config.landmarks.rl_end
    return rl_unit(end.algorithm, end.start) if config.rl.runs else None


def spread(starts: Sequence[int], first: int | None = None) -> list[int]:
    """Starts in an order such that each is, by rank, farthest from those before it."""
    ranks = {start: rank for rank, start in enumerate(sorted(starts))}
    order = [first] if first in ranks else sorted(starts)[-1:]
    while len(order) < len(ranks):
        rest = [start for start in sorted(ranks) if start not in order]
        order.append(max(rest, key=lambda start: min(abs(ranks[start] - ranks[known])
                                                     for known in order)))  # fmt: skip
    return [start for start in order if start is not None]


def _new_jobs(jobs: Mapping[str, Job], core: Mapping[str, Job]) -> dict[str, Job]:
    """Output -> job, without the core."""
    return {path: job for path, job in jobs.items() if path not in core}


def _owners(
    known: Sequence[Unit], reached: Mapping[str, Mapping[str, Job]]
) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """The unit of each job, by the job's outputs; and the names of the supports.

    A job that several units need belongs to the first of them if that unit is `shared`. Otherwise
    it is a support, named after its benchmark.
    """
    users: dict[tuple[str, ...], list[Unit]] = {}
    jobs: dict[tuple[str, ...], Job] = {}
    for unit in known:
        for job in {job.outputs: job for job in reached[unit.name].values()}.values():
            users.setdefault(job.outputs, []).append(unit)
            jobs[job.outputs] = job
    owner = {}
    support: dict[str, None] = {}
    for outputs, own in users.items():
        if len(own) == 1 or own[0].shared:
            owner[outputs] = own[0].name
        else:
            name = _benchmark_name(jobs[outputs]).partition("/")[2]
            owner[outputs] = name
            support[name] = None
    return owner, list(support)


def _owned_by_others(
    name: str, jobs: Mapping[str, Job], owner: Mapping[tuple[str, ...], str]
) -> list[str]:
    return [owner[job.outputs] for job in jobs.values() if owner[job.outputs] != name]


def _cell(config: Config, job: Job) -> Cell:
    level: Level = "study"
    if "base_seed" in job.wildcards:
        level = "run" if "seed" in job.wildcards else "base"
    return Cell(job.rule, _benchmark_name(job), level, work_of_job(config, job))


def _benchmark_name(job: Job) -> str:
    """Name of a job's benchmark, stage/rest, with max_ood in place of the unknown step."""
    found = _STAGE_AND_NAME.fullmatch(job.benchmark or "")
    assert found is not None, job
    return _PEAK_LABEL.sub("max_ood", found[1])


def _core_files(config: Config) -> list[str]:
    """Files of a run that core jobs make and units depend on."""
    paths = Paths.of(config, runs(config)[0])
    steps = (step for segment in config.sft.segments[: core_segments(config)] for step in segment)
    labels = ["base", *(Checkpoint.sft(step).label for step in steps)]
    end = stage_labels(config, UNKNOWN_PEAK).get("rl_end")
    pairs = [pair for pair in spectral_pairs(config, UNKNOWN_PEAK) if end not in pair]
    return [*map(paths.evaluation, labels), *(paths.spectra(*pair) for pair in pairs)]


def _later_segments(config: Config, paths: Paths) -> Iterator[Unit]:
    before: tuple[str, ...] = ()
    for steps in config.sft.segments[core_segments(config) :]:
        files = tuple(paths.evaluation(Checkpoint.sft(step).label) for step in steps)
        name = f"sft-to-{steps[-1]}"
        yield Unit(name, files, before, shared=True)
        before = (name,)


def _rl(config: Config, paths: Paths) -> Iterator[Unit]:
    end = rl_end(config)
    if end is None or end.start is None:
        return
    landmark = rl_unit(end.algorithm, end.start)
    pairs = [pair for pair in spectral_pairs(config, UNKNOWN_PEAK) if end.label in pair]
    files = [paths.evaluation(end.label), *(paths.spectra(*pair) for pair in pairs)]
    yield Unit(landmark, tuple(files), shared=True)
    known = set(rl_starts(config))
    for algorithm in dict.fromkeys(run.algorithm for run in config.rl.runs):
        for start in spread([start for name, start in known if name == algorithm], end.start):
            label = rl_checkpoint(config, algorithm, start).label
            if label != end.label:
                name = rl_unit(algorithm, start)
                yield Unit(name, (paths.evaluation(label),), (landmark,), shared=True)


def _surgery(config: Config, paths: Paths) -> Iterator[Unit]:
    recipes = {recipe.name: recipe for recipe in config.surgery.recipes}
    for cell in variants(config, UNKNOWN_PEAK):
        file = paths.surgery(cell.donor, cell.patient, cell.recipe)
        if cell.direction == "forward":
            reference = recipes[cell.recipe].reference
            needs = (f"surgery-{reference[1]}",) if reference else ()
            yield Unit(f"surgery-{cell.recipe}", (file,), needs)
        else:
            yield Unit(f"reverse-{cell.recipe}", (file,), (f"surgery-{cell.recipe}",))


def _diagnostics(config: Config, paths: Paths) -> Iterator[Unit]:
    files = tuple(diagnostics_files(config, paths, UNKNOWN_PEAK))
    if files:
        yield Unit("diagnostics", files)


def _arms(config: Config, paths: Paths) -> Iterator[Unit]:
    for arm, steps in arm_steps(config).items():
        yield Unit(arm, tuple(paths.evaluation(Checkpoint(arm, step).label) for step in steps))


def _phase(config: Config, paths: Paths) -> Iterator[Unit]:
    if config.phase.steps:
        yield Unit("phase", (phase_paths.table(paths),))
