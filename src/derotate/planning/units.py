# SPDX-License-Identifier: MIT
"""The grid of a study as a plan sees it: cells, and units of cells that a config can leave out.

A cell is one job. The units are those that a config file can name: a later segment of SFT, an RL
run from a start, an arm, a recipe, the reverse surgery, the diagnostics, the phase diagram. What
every study of the workflow does is the core. It holds SFT up to `landmarks.sft_end` with all of its
steps: which of them are needed to find the peak is not known before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from derotate.config.model import PretrainedModel
from derotate.config.schema import Config
from derotate.study.arms import ARMS, arm_steps
from derotate.study.paths import rl_checkpoint, rl_starts
from derotate.study.phase_paths import rate_name

Level = Literal["study", "base", "run"]
PEAK = "max_ood"
"""Stands for the step of that landmark in names, which the evaluations will tell."""


@dataclass(frozen=True)
class Cell:
    """One job of the study, of each base or of each run.

    Attributes:
        rule: of Snakemake.
        name: of its benchmark, stage/rest.
        level: what has one job of this kind.
    """

    rule: str
    name: str
    level: Level = "run"

    @property
    def stage(self) -> str:
        """The stage whose budget it counts for."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Unit:
    """Cells that a config has together or not at all.

    Attributes:
        name: e.g. `rl-grpo-60`, `surgery-rollback`.
        cells: its jobs.
        needs: units without which a config with it is refused or lacks an input.
        support: whether it is of no use by itself, e.g. samples.
    """

    name: str
    cells: tuple[Cell, ...]
    needs: tuple[str, ...] = ()
    support: bool = False


@dataclass(frozen=True)
class Grid:
    """All cells of a config: the core, which each plan has, and the units to choose from."""

    core: tuple[Cell, ...]
    units: tuple[Unit, ...]

    @property
    def names(self) -> frozenset[str]:
        """The units that there are."""
        return frozenset(unit.name for unit in self.units)


@cache
def grid(config: Config) -> Grid:
    """The grid of a config.

    Of units that cost and count the same a plan takes the first, so RL starts are ordered such that
    each lies as far as possible from those before it, and recipes as the config has them.
    """
    units = [*_later_segments(config), *_rl(config), *_surgery(config)]
    units += [*_diagnostics(config), *_arms(config), *_phase(config)]
    return Grid(tuple(_core(config)), tuple(units))


def core_segments(config: Config) -> int:
    """How many segments of SFT lead to `landmarks.sft_end`."""
    ends = [config.landmarks.sft_end <= segment[-1] for segment in config.sft.segments]
    return ends.index(True) + 1


def rl_unit(algorithm: str, start: int) -> str:
    """Name of the unit of an RL run."""
    return f"rl-{algorithm}-{start}"


def rl_end_unit(config: Config) -> str | None:
    """The unit of the RL run that is the landmark `rl_end`; None in a study without RL."""
    end = config.landmarks.rl_end
    return rl_unit(end.algorithm, end.start) if config.rl.runs else None


def spread(starts: Sequence[int], first: int | None = None) -> list[int]:
    """Starts in an order in which each is, by rank, farthest from those before it."""
    ranks = {start: rank for rank, start in enumerate(sorted(starts))}
    order = [first] if first in ranks else sorted(starts)[-1:]
    while len(order) < len(ranks):
        rest = [start for start in sorted(ranks) if start not in order]
        order.append(max(rest, key=lambda start: min(abs(ranks[start] - ranks[known])
                                                     for known in order)))  # fmt: skip
    return [start for start in order if start is not None]


def _core(config: Config) -> Iterator[Cell]:
    yield from (Cell(rule, f"rest/{name}", "study") for rule, name in (
        ("problems", "problems"), ("data_card", "card"), ("accuracy_by_step", "accuracy_by_step"),
        ("tables", "tables"), ("figures", "figures"), ("claims", "claims"),
    ))  # fmt: skip
    if isinstance(config.model, PretrainedModel):
        yield Cell("fetch", "rest/fetch", "base")
    else:
        yield Cell("base", "base/base", "base")
    yield Cell("evaluate_base", "evaluation/base", "base")
    yield Cell("base_factors", "surgery/factors-base", "base")
    for after, steps in _segments(config)[: core_segments(config)]:
        yield from _segment(after, steps)
    yield Cell("landmarks", "rest/landmarks")
    end = f"sft-{config.landmarks.sft_end}"
    yield from (Cell("factors", f"surgery/factors-{label}") for label in (PEAK, end))
    for donor, patient in (("base", PEAK), ("base", end), (PEAK, end)):
        yield Cell("spectra", f"surgery/spectra-{donor}-{patient}")


def _segments(config: Config) -> list[tuple[int, tuple[int, ...]]]:
    """The step that each segment resumes, and its steps."""
    ends = (0, *(segment[-1] for segment in config.sft.segments))
    return list(zip(ends, config.sft.segments, strict=False))


def _segment(after: int, steps: Sequence[int]) -> Iterator[Cell]:
    yield Cell("sft_samples", f"rest/samples-{after}-{steps[-1]}")
    yield Cell(f"sft_to_{steps[-1]}", f"sft/to-{steps[-1]}")
    yield from (Cell("evaluate_sft", f"evaluation/sft-{step}") for step in steps)


def _later_segments(config: Config) -> Iterator[Unit]:
    before: tuple[str, ...] = ()
    for after, steps in _segments(config)[core_segments(config) :]:
        name = f"sft-to-{steps[-1]}"
        yield Unit(name, tuple(_segment(after, steps)), before)
        before = (name,)


def _rl(config: Config) -> Iterator[Unit]:
    if not config.rl.runs:
        return
    end = config.landmarks.rl_end
    known = set(rl_starts(config))
    ends = (end.algorithm, end.start)
    yield Unit(rl_unit(*ends), tuple(_rl_end(config)), _sft_step(config, end.start))
    for algorithm in dict.fromkeys(run.algorithm for run in config.rl.runs):
        starts = [start for name, start in known if name == algorithm]
        for start in spread(starts, end.start):
            if (algorithm, start) != ends:
                needs = (rl_unit(*ends), *_sft_step(config, start))
                cells = tuple(_rl_run(config, algorithm, start))
                yield Unit(rl_unit(algorithm, start), cells, needs)


def _sft_step(config: Config, step: int) -> tuple[str, ...]:
    """The unit of the segment with that step; none if it is in the core."""
    later = config.sft.segments[core_segments(config) :]
    return tuple(f"sft-to-{steps[-1]}" for steps in later if step in steps)


def _rl_run(config: Config, algorithm: str, start: int) -> Iterator[Cell]:
    yield Cell(algorithm, f"rl/{algorithm}-from-{start}")
    yield Cell("evaluate", f"evaluation/{rl_checkpoint(config, algorithm, start).label}")


def _rl_end(config: Config) -> Iterator[Cell]:
    """The run of the landmark, and what the landmark adds: problems, factors and spectra."""
    end = config.landmarks.rl_end
    label = rl_checkpoint(config, end.algorithm, end.start).label
    yield from _rl_run(config, end.algorithm, end.start)
    yield Cell("rl_problems", "rest/rl-problems")
    yield Cell("factors", f"surgery/factors-{label}")
    for donor in (PEAK, f"sft-{config.landmarks.sft_end}"):
        yield Cell("spectra", f"surgery/spectra-{donor}-{label}")


def _surgery(config: Config) -> Iterator[Unit]:
    end = f"sft-{config.landmarks.sft_end}"
    for recipe in config.surgery.recipes:
        cell = Cell("surgery", f"evaluation/from-{PEAK}-into-{end}/{recipe.name}")
        needs = (f"surgery-{recipe.reference[1]}",) if recipe.reference else ()
        yield Unit(f"surgery-{recipe.name}", (cell,), needs)
    healed = rl_end_unit(config)
    if healed is not None:
        rl_end = config.landmarks.rl_end
        label = rl_checkpoint(config, rl_end.algorithm, rl_end.start).label
        for name in config.surgery.reverse:
            cell = Cell("surgery", f"evaluation/from-{end}-into-{label}/{name}")
            yield Unit(f"reverse-{name}", (cell,), (f"surgery-{name}", healed))


def _diagnostics(config: Config) -> Iterator[Unit]:
    healed = rl_end_unit(config)
    if healed is not None and config.diagnostics.prompts:
        rl_end = config.landmarks.rl_end
        label = rl_checkpoint(config, rl_end.algorithm, rl_end.start).label
        names = f"{PEAK}-sft-{config.landmarks.sft_end}-{label}"
        cells = tuple(Cell(kind, f"surgery/{kind}-{names}") for kind in ("states", "weights"))
        yield Unit("diagnostics", cells, (healed,))


def _arms(config: Config) -> Iterator[Unit]:
    arms = arm_steps(config)
    for arm, steps in arms.items():
        own = (Cell(arm, f"sft/{arm}"), *_arm_evaluations(arm, steps))
        if ARMS[arm].stream:
            samples = Cell(f"{arm}_samples", f"rest/{arm}-samples-0-{max(steps)}")
            yield Unit(arm, (samples, *own))
        else:
            yield Unit(arm, own, _first_samples(config, max(steps)))
    sharing = [steps for arm, steps in arms.items() if not ARMS[arm].stream]
    lasts = {max(steps) for steps in (*sharing, config.phase.steps) if steps}
    for last in sorted(lasts):
        for name in _first_samples(config, last):
            cell = Cell("sft_samples", f"rest/samples-0-{last}")
            yield Unit(name, (cell,), support=True)


def _arm_evaluations(arm: str, steps: Sequence[int]) -> Iterator[Cell]:
    return (Cell("evaluate", f"evaluation/{arm}-{step}") for step in steps)


def _first_samples(config: Config, last: int) -> tuple[str, ...]:
    """The unit of the samples up to a step, which arms may share; SFT's first are in the core."""
    return () if last == config.sft.segments[0][-1] else (f"samples-0-{last}",)


def _phase(config: Config) -> Iterator[Unit]:
    if not config.phase.steps:
        return
    cells = [Cell("phase_diagram", "rest/phase", "study")]
    for steps in config.phase.base_steps:
        if steps != config.base.steps:
            cells.append(Cell("phase_base", f"base/phase-{steps}", "base"))
            cells.append(Cell("phase_evaluate_base", f"evaluation/phase-{steps}", "base"))
        for rate in map(rate_name, config.phase.learning_rates):
            cells.append(Cell("phase_sft", f"sft/phase-{steps}-{rate}"))
            cells += [Cell("phase_evaluate", f"evaluation/phase-{steps}-{rate}-{step}")
                      for step in config.phase.steps]  # fmt: skip
    yield Unit("phase", tuple(cells), _first_samples(config, max(config.phase.steps)))
