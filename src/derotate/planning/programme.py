# SPDX-License-Identifier: MIT
"""The choice as an integer programme, solved by the CBC that PuLP brings.

A plan has the first p bases, the first q seeds, and the same units in all of their runs. That is a
product of choices; written out by shape (p, q) it is linear, and tight: one binary says which shape
it is, and in each shape a unit has a variable that is 0 unless the shape is chosen. Within a shape
the relaxation is a knapsack with precedences. Units that cost and count the same are one lot,
of which the first so many are taken; else the solver would try all their permutations.

All costs are whole device seconds, so that no rounding decides what fits.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import pulp

from derotate.planning.needs import Goal

CELL_VALUE: Final = 0.01
"""What a cell counts that no claim needs, where an ordinary claim counts 1."""
_BOUND: Final = re.compile(r"^(?:Upper|Lower) bound:\s+(\S+)", re.MULTILINE)

Shape = tuple[int, int]
"""Numbers of base seeds and of seeds."""
Lot = tuple[str, ...]
"""Names of units that cost and count the same, the preferred first."""


class PlanError(ValueError):
    """A budget or a time that allows no plan; one line with what would."""


@dataclass(frozen=True)
class Cost:
    """Device seconds: once a study, and for each base and each run of it."""

    study: int = 0
    base: int = 0
    run: int = 0

    def of(self, shape: Shape) -> int:
        """Device seconds in a study of this shape."""
        bases, seeds = shape
        return self.study + bases * self.base + bases * seeds * self.run


@dataclass(frozen=True)
class Choice:
    """A unit that a plan may have.

    Attributes:
        name: of the unit.
        cost: of its cells.
        cells: how many cells it adds to a run, a base or the study.
        needs: units that it cannot be without.
        support: taken only if something that needs it is.
    """

    name: str
    cost: Cost
    cells: int = 1
    needs: tuple[str, ...] = ()
    support: bool = False


@dataclass(frozen=True)
class Problem:
    """What to choose from.

    Attributes:
        bases: base seeds there are, 1 or more.
        seeds: seeds there are, 1 or more.
        core: cost of what each study does.
        choices: the units, of equals the preferred first.
        goals: the claims.
        budget: device seconds.
    """

    bases: int
    seeds: int
    core: Cost
    choices: tuple[Choice, ...]
    goals: tuple[Goal, ...]
    budget: int

    @property
    def shapes(self) -> list[Shape]:
        """All shapes whose core fits the budget."""
        every = product(range(1, self.bases + 1), range(1, self.seeds + 1))
        return [shape for shape in every if self.core.of(shape) <= self.budget]

    @property
    def least(self) -> int:
        """The smallest budget with a plan: the core of one run."""
        return self.core.of((1, 1))


@dataclass(frozen=True)
class Solution:
    """A plan, and how good it is by the solver's word.

    Attributes:
        shape: numbers of base seeds and seeds.
        units: names of the units.
        value: of the plan, as `value` gives it.
        bound: no plan is worth more.
        optimal: whether the solver has proved that none is; else it ran out of time.
    """

    shape: Shape
    units: frozenset[str]
    value: float
    bound: float
    optimal: bool

    @property
    def gap(self) -> float:
        """How much better a plan could be, relative to this one."""
        return max(0.0, self.bound / self.value - 1) if self.value else 0.0


def weight(shape: Shape) -> float:
    """What all runs of a shape count, where the first counts 1: sum of 1 / (i j)."""
    bases, seeds = shape
    return sum(1 / (i * j) for i in range(1, bases + 1) for j in range(1, seeds + 1))


def served(goal: Goal, units: frozenset[str]) -> bool:
    """Whether a run with these units serves a claim."""
    return all(len(need.units & units) >= need.least for need in goal.needs)


def value(problem: Problem, shape: Shape, units: frozenset[str]) -> float:
    """What a plan is worth: the objective, in words in `derotate.planning`."""
    claims = sum(goal.weight for goal in problem.goals if served(goal, units))
    cells = sum(choice.cells for choice in problem.choices
                if choice.name in units and not choice.support)  # fmt: skip
    return weight(shape) * (claims + CELL_VALUE * cells)


def cost(problem: Problem, shape: Shape, units: frozenset[str]) -> int:
    """Device seconds of a plan."""
    chosen = (choice for choice in problem.choices if choice.name in units)
    return problem.core.of(shape) + sum(choice.cost.of(shape) for choice in chosen)


def whole_grid(problem: Problem) -> int:
    """Device seconds of everything that there is."""
    every = frozenset(choice.name for choice in problem.choices)
    return cost(problem, (problem.bases, problem.seeds), every)


def solve(problem: Problem, seconds: float = 60.0) -> Solution:
    """The plan of highest value within the budget.

    Args:
        problem: what to choose from.
        seconds: after which the solver gives up and the best plan so far is taken.

    Raises:
        PlanError: the budget does not reach for the core of one run, or no plan was found in time.
    """
    if not problem.shapes:
        raise PlanError(f"needs at least {problem.least} device seconds, got {problem.budget}")
    programme, shapes = _programme(problem)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "cbc.log")
        programme.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=seconds, logPath=str(log)))
        said = log.read_text(encoding="utf-8", errors="replace")
    if programme.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        raise PlanError(
            f"the solver found no plan in {seconds:g} s ({pulp.LpStatus[programme.status]}); "
            "give it longer with --time-limit"
        )
    shape = next(shape for shape, own in shapes.items() if own.chosen.value() > 0.5)
    units = shapes[shape].units()
    optimal = programme.sol_status == pulp.LpSolutionOptimal
    worth = value(problem, shape, units)
    told = _BOUND.search(said)
    bound = worth if optimal else abs(float(told[1])) if told else float("inf")
    return Solution(shape, units, worth, max(worth, bound), optimal)


def _programme(problem: Problem) -> tuple[pulp.LpProblem, dict[Shape, _OfShape]]:
    """The programme and its variables by shape."""
    programme = pulp.LpProblem("plan", pulp.LpMaximize)
    groups = lots(problem)
    shapes = {shape: _OfShape.of(programme, groups, shape) for shape in problem.shapes}
    choices = {choice.name: choice for choice in problem.choices}
    worth: list[tuple[pulp.LpVariable, float]] = []
    for shape, own in shapes.items():
        examples = [(number, choices[lot[0]]) for lot, number in own.numbers.items()]
        spent = [(number, choice.cost.of(shape)) for number, choice in examples]
        core = (own.chosen, problem.core.of(shape) - problem.budget)
        programme += pulp.LpAffineExpression([*spent, core]) <= 0
        _precedences(programme, problem, own)
        worth += [(number, weight(shape) * CELL_VALUE * choice.cells)
                  for number, choice in examples if not choice.support]  # fmt: skip
        for place, goal in enumerate(problem.goals):
            name = f"goal_{place}_{own.tag}"
            binary = programme.add_variable(name, cat=pulp.LpBinary)
            worth.append((binary, weight(shape) * goal.weight))
            _serving(programme, problem, goal, binary, own)
    programme += pulp.lpSum(own.chosen for own in shapes.values()) == 1
    programme.setObjective(pulp.LpAffineExpression(worth))
    return programme, shapes


@dataclass(frozen=True)
class _OfShape:
    """The variables of a shape: whether it is chosen, and how many it takes of each lot."""

    tag: str
    chosen: pulp.LpVariable
    numbers: Mapping[Lot, pulp.LpVariable]

    @classmethod
    def of(cls, programme: pulp.LpProblem, groups: Sequence[Lot], shape: Shape) -> _OfShape:
        tag = f"{shape[0]}_{shape[1]}"
        numbers = {
            lot: programme.add_variable(f"lot_{place}_{tag}", 0, len(lot), pulp.LpInteger)
            for place, lot in enumerate(groups)
        }
        return cls(tag, programme.add_variable(f"shape_{tag}", cat=pulp.LpBinary), numbers)

    def unit(self, name: str) -> pulp.LpVariable:
        """The variable of a unit that others need, which is a lot of its own."""
        return self.numbers[(name,)]

    def units(self) -> frozenset[str]:
        """What the solver has taken: of each lot the first so many."""
        return frozenset(
            name for lot, number in self.numbers.items() for name in lot[: round(number.value())]
        )


def _precedences(programme: pulp.LpProblem, problem: Problem, own: _OfShape) -> None:
    """Units of a shape: none unless it is chosen, none without what it needs."""
    choices = {choice.name: choice for choice in problem.choices}
    for lot, number in own.numbers.items():
        programme += number <= len(lot) * own.chosen
        for need in choices[lot[0]].needs:
            programme += number <= len(lot) * own.unit(need)
        if choices[lot[0]].support:
            dependents = [of for other, of in own.numbers.items()
                          if lot[0] in choices[other[0]].needs]  # fmt: skip
            programme += number <= pulp.lpSum(dependents)


def _serving(
    programme: pulp.LpProblem,
    problem: Problem,
    goal: Goal,
    binary: pulp.LpVariable,
    own: _OfShape,
) -> None:
    """A claim is served in a shape only by the units that it needs there.

    What all units of a need depend on must be there too. That follows, but said outright it keeps
    the relaxation from serving a fifth of a claim with a fifth of an RL run.
    """
    programme += binary <= own.chosen
    for need in goal.needs:
        fitting = [number for lot, number in own.numbers.items() if lot[0] in need.units]
        programme += need.least * binary <= pulp.lpSum(fitting)
        behind = [_closure(problem, name) for name in sorted(need.units)]
        for name in sorted(frozenset.intersection(*behind)):
            if (name,) in own.numbers:
                programme += binary <= own.unit(name)


def _closure(problem: Problem, name: str) -> frozenset[str]:
    """A unit with all that it needs."""
    choices = {choice.name: choice for choice in problem.choices}
    reached, waiting = {name}, [name]
    while waiting:
        more = set(choices[waiting.pop()].needs) - reached
        reached |= more
        waiting += sorted(more)
    return frozenset(reached)


def lots(problem: Problem) -> list[Lot]:
    """Units by lot: those of a lot may be swapped in any plan without a change of value or cost.

    A unit that another one needs is a lot of its own.
    """
    needed = {name for choice in problem.choices for name in choice.needs}
    groups: dict[object, list[str]] = {}
    for choice in problem.choices:
        goals = frozenset(
            (goal.id, place)
            for goal in problem.goals
            for place, need in enumerate(goal.needs)
            if choice.name in need.units
        )
        key: object = (choice.cost, choice.cells, frozenset(choice.needs), choice.support, goals)
        groups.setdefault(choice.name if choice.name in needed else key, []).append(choice.name)
    return [tuple(group) for group in groups.values()]
