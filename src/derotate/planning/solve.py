# SPDX-License-Identifier: MIT
"""The optimisation: one integer programme per shape, solved by PuLP's bundled CBC.

A plan has the first p bases, the first q seeds, and the same units in all of their runs. For one
shape (p, q) this is a precedence-constrained knapsack: one binary per unit, one binary per claim.
Shapes are solved one after another; each must have a higher value than the best plan so far.

All costs are integers (device seconds), so that rounding cannot decide whether a plan fits.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Final

import pulp

from derotate.planning.claims_served import Goal

CELL_VALUE: Final = 0.01
"""The value of a cell that no claim needs; a claim that is not primary has 1."""
_BOUND: Final = re.compile(r"^(?:Upper|Lower) bound:\s+(\S+)", re.MULTILINE)
_ROUNDING: Final = 1e-6
"""Values of plans differ by more: a cell of one run counts CELL_VALUE, of others a part of it."""

Shape = tuple[int, int]
"""Number of base seeds, number of seeds."""


class PlanError(ValueError):
    """No plan fits the budget; one line with the smallest budget that has one."""


@dataclass(frozen=True)
class Cost:
    """Device seconds: once per study, per base, and per run."""

    study: int = 0
    base: int = 0
    run: int = 0

    def of(self, shape: Shape) -> int:
        """Device seconds in a study of this shape."""
        bases, seeds = shape
        return self.study + bases * self.base + bases * seeds * self.run


@dataclass(frozen=True)
class Choice:
    """A unit that a plan may include.

    Attributes:
        name: of the unit.
        cost: of its cells.
        cells: number of cells that it adds to a run, a base or the study.
        needs: units that it requires.
        support: chosen only if a unit that needs it is chosen.
    """

    name: str
    cost: Cost
    cells: int = 1
    needs: tuple[str, ...] = ()
    support: bool = False


@dataclass(frozen=True)
class Problem:
    """The input of the optimisation.

    Attributes:
        bases: number of base seeds, 1 or more.
        seeds: number of seeds, 1 or more.
        core: cost of the cells that every plan has.
        choices: the units; among units of equal cost and value, the preferred one first.
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
    def smallest_budget(self) -> int:
        """The smallest budget with a plan: the core of one run."""
        return self.core.of((1, 1))

    @property
    def preferences(self) -> list[tuple[str, str]]:
        """Pairs of units of equal cost and value, the preferred one first.

        In any plan they can be swapped without a change of value or cost.
        """
        needed = {name for choice in self.choices for name in choice.needs}
        last: dict[object, str] = {}
        pairs = []
        for choice in self.choices:
            serves = frozenset(
                (goal.id, place)
                for goal in self.goals
                for place, need in enumerate(goal.needs)
                if choice.name in need.units
            )
            key = (choice.cost, choice.cells, frozenset(choice.needs), choice.support, serves)
            if choice.name not in needed:
                if key in last:
                    pairs.append((last[key], choice.name))
                last[key] = choice.name
        return pairs

    @property
    def all_units(self) -> frozenset[str]:
        """The names of all units."""
        return frozenset(choice.name for choice in self.choices)


@dataclass(frozen=True)
class Solution:
    """A plan, with the bound that the solver has proved.

    Attributes:
        shape: numbers of base seeds and seeds.
        units: names of the units.
        value: of the plan, as `value` gives it.
        bound: upper bound on the value of any plan.
        optimal: whether the plan is proved optimal; else the solver ran out of time.
    """

    shape: Shape
    units: frozenset[str]
    value: float
    bound: float
    optimal: bool

    @property
    def gap(self) -> float:
        """Relative optimality gap: (bound - value) / value."""
        return max(0.0, self.bound / self.value - 1) if self.value else 0.0


def weight(shape: Shape) -> float:
    """Total weight of the runs of a shape: the sum of 1 / (i j)."""
    bases, seeds = shape
    return sum(1 / (i * j) for i in range(1, bases + 1) for j in range(1, seeds + 1))


def served(goal: Goal, units: frozenset[str]) -> bool:
    """Whether a run with these units serves a claim."""
    return all(len(need.units & units) >= need.minimum for need in goal.needs)


def value(problem: Problem, shape: Shape, units: frozenset[str]) -> float:
    """The objective of a plan, defined in `derotate.planning`."""
    claims = sum(goal.weight for goal in problem.goals if served(goal, units))
    cells = sum(choice.cells for choice in problem.choices
                if choice.name in units and not choice.support)  # fmt: skip
    return weight(shape) * (claims + CELL_VALUE * cells)


def cost(problem: Problem, shape: Shape, units: frozenset[str]) -> int:
    """Device seconds of a plan."""
    chosen = (choice for choice in problem.choices if choice.name in units)
    return problem.core.of(shape) + sum(choice.cost.of(shape) for choice in chosen)


def whole_grid(problem: Problem) -> int:
    """Device seconds of the whole grid."""
    return cost(problem, (problem.bases, problem.seeds), problem.all_units)


def solve(problem: Problem, seconds: float = 60.0) -> Solution:
    """The plan of highest value within the budget.

    Args:
        problem: bases, seeds, units, claims and budget.
        seconds: time limit, after which the best plan so far is returned.

    Raises:
        PlanError: the budget does not cover the core of one run, or CBC does not run here.
    """
    if not problem.shapes:
        raise PlanError(
            f"needs at least {problem.smallest_budget} device seconds, got {problem.budget}"
        )
    if not pulp.PULP_CBC_CMD().available():
        raise PlanError(
            "PuLP's bundled CBC does not run on this machine; run derotate plan on another"
        )
    deadline = monotonic() + seconds
    # all units and claims in all runs: an upper bound for the shape
    ceilings = {shape: value(problem, shape, problem.all_units) for shape in problem.shapes}
    best_shape, best = max(ceilings, key=weight), frozenset[str]()
    best_value = value(problem, best_shape, best)
    unproved = [0.0]
    for shape in sorted(ceilings, key=lambda shape: -ceilings[shape]):
        if ceilings[shape] <= best_value + _ROUNDING:
            break
        left = deadline - monotonic()
        units, bound = (
            _solve_shape(problem, shape, best_value, left) if left > 0 else (None, ceilings[shape])
        )
        if units is not None and value(problem, shape, units) > best_value + _ROUNDING:
            best_shape, best, best_value = shape, units, value(problem, shape, units)
        if bound is not None:
            unproved.append(min(bound, ceilings[shape]))
    bound = max(best_value, *unproved)
    return Solution(best_shape, best, best_value, bound, bound <= best_value + _ROUNDING)


def _solve_shape(
    problem: Problem, shape: Shape, at_least: float, seconds: float
) -> tuple[frozenset[str] | None, float | None]:
    """The units of the best plan of a shape with a value above `at_least`.

    Returns:
        The units, or None if no such plan exists or none was found in time; and an upper bound on
        the value if the solver ran out of time, else None.
    """
    model = pulp.LpProblem("plan", pulp.LpMaximize)
    chosen = {
        choice.name: model.add_variable(f"unit_{place}", cat=pulp.LpBinary)
        for place, choice in enumerate(problem.choices)
    }
    claims = [
        model.add_variable(f"claim_{place}", cat=pulp.LpBinary)
        for place, _ in enumerate(problem.goals)
    ]
    worth = [(claim, goal.weight) for claim, goal in zip(claims, problem.goals, strict=True)]
    worth += [(chosen[choice.name], CELL_VALUE * choice.cells)
              for choice in problem.choices if not choice.support]  # fmt: skip
    scaled = pulp.LpAffineExpression([(variable, weight(shape) * each) for variable, each in worth])
    model.setObjective(scaled)
    model += scaled >= at_least
    spent = [(chosen[choice.name], choice.cost.of(shape)) for choice in problem.choices]
    model += pulp.LpAffineExpression(spent) <= problem.budget - problem.core.of(shape)
    for choice in problem.choices:
        for required in choice.needs:
            model += chosen[choice.name] <= chosen[required]
        if choice.support:
            users = [chosen[other.name] for other in problem.choices if choice.name in other.needs]
            model += chosen[choice.name] <= pulp.lpSum(users)
    for preferred, other in problem.preferences:
        model += chosen[other] <= chosen[preferred]
    for claim, goal in zip(claims, problem.goals, strict=True):
        for need in goal.needs:
            serving = pulp.lpSum(chosen[name] for name in sorted(need.units))
            model += need.minimum * claim <= serving
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "cbc.log")
        model.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=seconds, logPath=str(log)))
        told = _BOUND.search(log.read_text(encoding="utf-8", errors="replace"))
    # CBC reports a shape without a better plan as "Integer infeasible"; PuLP sets its status
    infeasible = model.status == pulp.LpStatusInfeasible
    proved = infeasible or model.sol_status == pulp.LpSolutionOptimal
    bound = None if proved else abs(float(told[1])) if told else float("inf")
    if model.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return None, bound
    return frozenset(name for name, unit in chosen.items() if unit.value() > 0.5), bound
