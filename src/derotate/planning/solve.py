# SPDX-License-Identifier: MIT
"""The choice as an integer programme, solved by the CBC that PuLP brings.

A plan has the first p bases, the first q seeds, and the same units in all of their runs. That is a
product of choices; written out by shape (p, q) it is linear, and tight: one binary says which shape
it is, and in each shape a unit has a variable that is 0 unless the shape is chosen. Within a shape
the relaxation is a knapsack with precedences. Units that cost and count the same are one lot,
of which the first so many are taken; else the solver would try all their permutations.

Shapes that a quick bound shows to be worth less than a quick plan are left out before.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulp

from derotate.planning.bounds import best_greedy, bound
from derotate.planning.claims_served import Goal
from derotate.planning.problem import CELL_VALUE, Lot, Problem, Shape, lots, value, weight

_BOUND: Final = re.compile(r"^(?:Upper|Lower) bound:\s+(\S+)", re.MULTILINE)
_ROUNDING: Final = 1e-9
"""Sums of the same numbers in another order differ by less."""


class PlanError(ValueError):
    """A budget that allows no plan; one line with what would."""


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


def solve(problem: Problem, seconds: float = 60.0) -> Solution:
    """The plan of highest value within the budget.

    Args:
        problem: what to choose from.
        seconds: after which the solver gives up and the best plan so far is taken.

    Raises:
        PlanError: the budget does not reach for the core of one run, or there is no solver.
    """
    if not problem.shapes:
        raise PlanError(f"needs at least {problem.least} device seconds, got {problem.budget}")
    quick = best_greedy(problem)
    known = value(problem, *quick)
    bounds = {shape: bound(problem, shape) for shape in problem.shapes}
    tried = [shape for shape in bounds if bounds[shape] >= known - _ROUNDING]
    programme, shapes = _programme(problem, tried)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "cbc.log")
        solver = pulp.PULP_CBC_CMD(msg=False, timeLimit=seconds, logPath=str(log))
        if not solver.available():
            raise PlanError(
                "the CBC that PuLP brings does not run on this machine; plan on another"
            )
        programme.solve(solver)
        said = log.read_text(encoding="utf-8", errors="replace")
    plan = quick
    if programme.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        shape = next(shape for shape, own in shapes.items() if own.chosen.value() > 0.5)
        plan = max(quick, (shape, shapes[shape].units()), key=lambda plan: value(problem, *plan))
    worth = value(problem, *plan)
    optimal = programme.sol_status == pulp.LpSolutionOptimal
    told = _BOUND.search(said)
    most = min(max(bounds.values()), abs(float(told[1])) if told else float("inf"))
    return Solution(*plan, worth, worth if optimal else max(worth, most), optimal)


def _programme(
    problem: Problem, tried: Sequence[Shape]
) -> tuple[pulp.LpProblem, dict[Shape, _OfShape]]:
    """The programme of some shapes, and its variables by shape."""
    programme = pulp.LpProblem("plan", pulp.LpMaximize)
    groups = lots(problem)
    shapes = {shape: _OfShape.of(programme, groups, shape) for shape in tried}
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
        behind = [problem.closures[name] for name in sorted(need.units)]
        for name in sorted(frozenset.intersection(*behind)):
            if (name,) in own.numbers:
                programme += binary <= own.unit(name)
