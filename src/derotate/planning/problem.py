# SPDX-License-Identifier: MIT
"""What there is to choose from, and what a choice is worth and takes.

All costs are whole device seconds, so that no rounding decides what fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

from derotate.planning.claims_served import Goal

CELL_VALUE: Final = 0.01
"""What a cell counts that no claim needs, where an ordinary claim counts 1."""

Shape = tuple[int, int]
"""Numbers of base seeds and of seeds."""
Lot = tuple[str, ...]
"""Names of units that cost and count the same, the preferred first."""


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

    @cached_property
    def closures(self) -> Mapping[str, frozenset[str]]:
        """Each unit with all that it needs, directly or not."""
        needs = {choice.name: choice.needs for choice in self.choices}
        found = {}
        for name in needs:
            reached, waiting = {name}, [name]
            while waiting:
                more = set(needs[waiting.pop()]) - reached
                reached |= more
                waiting += sorted(more)
            found[name] = frozenset(reached)
        return found

    @property
    def least(self) -> int:
        """The smallest budget with a plan: the core of one run."""
        return self.core.of((1, 1))


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
