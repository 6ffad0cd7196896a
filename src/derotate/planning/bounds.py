# SPDX-License-Identifier: MIT
"""A quick plan, and a quick bound on what a shape can be worth; both spare the solver work.

The bound is that of a fractional knapsack of claims. The cost of a unit is divided by the number of
claims that may use it, so claims served together are never charged more than their units cost.
"""

from __future__ import annotations

from collections import Counter

from derotate.planning.claims_served import Goal
from derotate.planning.problem import CELL_VALUE, Problem, Shape, value, weight


def bound(problem: Problem, shape: Shape) -> float:
    """No plan of this shape is worth more; 0 if the budget does not reach for its core."""
    left = float(problem.budget - problem.core.of(shape))
    if left < 0:
        return 0.0
    users = Counter(name for goal in problem.goals for name in _usable(problem, goal))
    shares = {
        choice.name: choice.cost.of(shape) / max(1, users[choice.name])
        for choice in problem.choices
    }
    charged = [(goal.weight, _least_charge(problem, goal, shares)) for goal in problem.goals]
    charged.sort(key=lambda pair: pair[1] / pair[0])
    claims = 0.0
    for worth, charge in charged:
        part = 1.0 if charge <= left else left / charge
        claims += part * worth
        left -= part * charge
    cells = sum(choice.cells for choice in problem.choices if not choice.support)
    return weight(shape) * (claims + CELL_VALUE * cells)


def best_greedy(problem: Problem) -> tuple[Shape, frozenset[str]]:
    """The best of the quick plans of all shapes, of which there must be one."""
    plans = [(shape, greedy(problem, shape)) for shape in problem.shapes]
    return max(plans, key=lambda plan: value(problem, *plan))


def greedy(problem: Problem, shape: Shape) -> frozenset[str]:
    """Units that fit, those of the claims first that cost the least by weight, then the others."""
    costs = {choice.name: choice.cost.of(shape) for choice in problem.choices}
    wanted = [(goal, _cheapest(problem, goal, costs)) for goal in problem.goals]
    wanted.sort(key=lambda pair: sum(costs[name] for name in pair[1]) / pair[0].weight)
    single = [problem.closures[choice.name] for choice in problem.choices if not choice.support]
    left = problem.budget - problem.core.of(shape)
    taken: frozenset[str] = frozenset()
    for units in (*(units for _, units in wanted), *single):
        more = sum(costs[name] for name in units - taken)
        if more <= left:
            taken |= units
            left -= more
    return taken


def _usable(problem: Problem, goal: Goal) -> frozenset[str]:
    """All units that may serve a claim, with what they need."""
    named = (name for need in goal.needs for name in need.units)
    return frozenset[str]().union(*(problem.closures[name] for name in named))


def _least_charge(problem: Problem, goal: Goal, shares: dict[str, float]) -> float:
    """What a claim is charged at least: the units it cannot do without, and the cheapest others."""
    certain = frozenset[str]().union(
        *(
            problem.closures[name]
            for need in goal.needs
            for name in need.units
            if need.least == len(need.units)
        )
    )
    others = [
        sum(sorted(shares[name] for name in need.units - certain)[: max(0, lacking)])
        for need in goal.needs
        for lacking in [need.least - len(need.units & certain)]
    ]
    return sum(shares[name] for name in certain) + max(others, default=0.0)


def _cheapest(problem: Problem, goal: Goal, costs: dict[str, int]) -> frozenset[str]:
    """Units that serve a claim, the cheapest of each need, with what they need."""
    order = {choice.name: place for place, choice in enumerate(problem.choices)}
    taken: frozenset[str] = frozenset()
    for need in goal.needs:
        by_cost = sorted(
            need.units,
            key=lambda name: (
                sum(costs[other] for other in problem.closures[name] - taken),
                order[name],
            ),
        )
        for name in by_cost[: need.least]:
            taken |= problem.closures[name]
    return taken
