# SPDX-License-Identifier: MIT
"""The units that serve a claim: those that the statistics of its parts and floors need.

They follow from the cells that each statistic requires (`RunStatistic.required_cells`), so a new
claim or statistic needs no code here. If a claim is about every start of RL, one start is enough:
its verdict is then about the starts in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from derotate.analysis.comparisons import PICKED_BY_LOSS, controls_of
from derotate.claims.cells import RL_END
from derotate.claims.run_statistic import RequiredCells
from derotate.claims.schema import Claim
from derotate.config.schema import Config
from derotate.planning.units import rl_end_unit, rl_unit, units
from derotate.study.checkpoint import Checkpoint
from derotate.study.paths import rl_starts

PRIMARY_WEIGHT = 2.0


class NotInGridError(ValueError):
    """The grid lacks cells that a claim needs; the message names them."""


@dataclass(frozen=True)
class Need:
    """A requirement: at least `minimum` of these units."""

    units: frozenset[str]
    minimum: int = 1


@dataclass(frozen=True)
class Goal:
    """A claim that the grid can serve, its weight, and the units that it needs beside the core."""

    id: str
    weight: float
    needs: tuple[Need, ...]


def goals(config: Config, claims: tuple[Claim, ...]) -> tuple[list[Goal], dict[str, str]]:
    """The claims that the grid of a config can serve, and id -> reason of the others."""
    served: list[Goal] = []
    unserved: dict[str, str] = {}
    for claim in claims:
        if claim.other_tasks:
            unserved[claim.id] = "it is about studies of other tasks, each planned by itself"
            continue
        if claim.not_testable:
            unserved[claim.id] = claim.not_testable
            continue
        try:
            needs = tuple(dict.fromkeys(_needs(config, claim)))
        except NotInGridError as error:
            unserved[claim.id] = f"not in this grid: {error}"
        else:
            served.append(Goal(claim.id, PRIMARY_WEIGHT if claim.primary else 1.0, needs))
    return served, unserved


def _needs(config: Config, claim: Claim) -> Iterator[Need]:
    for cells in claim.required_cells():
        yield from _of_cells(config, cells)


def _of_cells(config: Config, cells: RequiredCells) -> Iterator[Need]:
    """The units that make these cells of a table."""
    where = {key: str(value) for key, value in cells.where.items()}
    if "split" in where:
        _require_suites(config, (where["split"], where["fold"]))
    if cells.algorithm:
        yield _starts(config, cells)
        return
    treatment = where.get("treatment", "")
    if cells.table == "states":
        yield _units(config, ["diagnostics"], "diagnostics (diagnostics.prompts is 0)")
    elif where.get("landmark") == "rl_end":
        yield _rl_end(config)
    match where.get("contrast", ""):
        case "rl_gain":
            yield _rl_end(config)
        case "over_loss_pick":
            split, _, fold = where["reference"].partition("-")
            if (split, fold) not in PICKED_BY_LOSS:
                raise NotInGridError(f"a pick by the loss on {split} {fold}")
            _require_suites(config, (split, fold))
        case "rl_over_peak" | "rl_over_start":
            yield _rl_like(config, treatment)
        case "rl_over_shuffled":
            yield _rl_like(config, treatment)
            known = Checkpoint.parse(treatment).start if treatment != RL_END else None
            shuffled = rl_unit("shuffled", known or config.landmarks.rl_end.start)
            yield _units(config, [shuffled], f"RL on shuffled rewards ({shuffled})")
        case "arm_over_sft_end" | "arm_over_peak":
            yield _units(config, [treatment], f"the arm {treatment} ({treatment}.steps is empty)")
        case contrast if contrast.startswith("over_"):
            yield from _of_edit(config, contrast, where)


def _of_edit(config: Config, contrast: str, where: dict[str, str]) -> Iterator[Need]:
    """An edit in its direction, and the control that the contrast compares it with."""
    recipes = {recipe.name: recipe for recipe in config.surgery.recipes}
    kind = {"forward": "surgery", "reverse": "reverse"}[where["direction"]]
    name = where["treatment"]
    yield _units(config, [f"{kind}-{name}"], f"{where['direction']} surgery {name}")
    if contrast not in ("over_patient", "over_donor"):
        control = controls_of(recipes[name], config.surgery.recipes).get(contrast)
        if control is None:
            raise NotInGridError(f"the control {contrast} of {name}")
        yield _units(config, [f"{kind}-{control}"], f"{where['direction']} surgery {control}")


def _rl_like(config: Config, treatment: str) -> Need:
    """The RL run with this name, or at least one that matches the pattern."""
    if treatment == RL_END:
        return _rl_end(config)
    names = [rl_unit(algorithm, start) for algorithm, start in rl_starts(config)]
    fitting = [name for name in names if fnmatch(name, treatment)]
    return _units(config, fitting, f"RL run {treatment}")


def _rl_end(config: Config) -> Need:
    end = rl_end_unit(config)
    return _units(config, [end] if end else [], "RL (rl.runs is empty)")


def _starts(config: Config, cells: RequiredCells) -> Need:
    """RL of an algorithm from enough starts, or from all starts of the grid."""
    algorithm, minimum = cells.algorithm, cells.starts
    starts = {rl_unit(name, start) for name, start in rl_starts(config) if name == algorithm}
    if len(starts) < minimum:
        raise NotInGridError(f"{minimum} starts of {algorithm} (rl.runs has {len(starts)})")
    return Need(frozenset(starts), len(starts) if cells.every_start else minimum)


def _units(config: Config, names: list[str], words: str) -> Need:
    if not names or not set(names) <= {unit.name for unit in units(config)}:
        raise NotInGridError(words)
    return Need(frozenset(names))


def _require_suites(config: Config, *suites: tuple[str, str]) -> None:
    has = {(suite.split, suite.fold) for suite in config.evaluation.suites}
    for split, fold in suites:
        if (split, fold) not in has:
            raise NotInGridError(f"the suite {split} {fold} (evaluation.suites)")
