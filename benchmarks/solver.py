# SPDX-License-Identifier: MIT
"""The table of all hands with their formulas, beside the enumeration of the published solver.

Ours makes 1,820 hands at once, from empty caches; the grader then checks each formula, outside of
the time. The published way has a cost for each hand and is timed on a sample.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations_with_replacement, permutations, product
from time import perf_counter

from comparison import REPEATS, Comparison, alternate, show

from derotate.tasks.general_points import solver
from derotate.tasks.general_points.answers import grade
from derotate.tasks.general_points.problems import FACES, OOD_RULE, Problem
from derotate.tasks.general_points.prompts import compact_response

BRACKETINGS = (
    "(({}{}{}){}{}){}{}",
    "({}{}({}{}{})){}{}",
    "({}{}{}){}({}{}{})",
    "{}{}(({}{}{}){}{})",
    "{}{}({}{}({}{}{}))",
)
TOLERANCE = 1e-6
"""Values of four numbers 1..13 that are not 24 are off by more than 1 / 13^4 = 3.5e-5."""


def published_solve(numbers: Sequence[int], target: int = 24) -> list[str]:
    """Every formula of four numbers worth the target: all orders, operators and bracketings.

    Written anew from the description of the published solver, which builds each as a string and
    has Python evaluate it. Equal orders are tried once, and floats with a tolerance stand for
    fractions: both make it faster.
    """
    found = []
    for a, b, c, d in sorted(set(permutations(numbers))):
        for p, q, r in product("+-*/", repeat=3):
            for bracketing in BRACKETINGS:
                text = bracketing.format(a, p, b, q, c, r, d)
                try:
                    value = eval(text)  # text of our own making, never a model's
                except ZeroDivisionError:
                    continue
                if abs(value - target) < TOLERANCE:
                    found.append(text)
    return found


def our_table() -> tuple[float, dict[tuple[int, ...], str | None]]:
    """Seconds of the whole table, nothing cached, and the table."""
    for function in vars(solver).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    start = perf_counter()
    table = solver.solution_table()
    return perf_counter() - start, table


def graded_correct(numbers: Sequence[int], formula: str) -> bool:
    """The grader's verdict on a formula, as the answer to a hand with these numbers."""
    faces = dict(zip(OOD_RULE, FACES, strict=True))
    cards = tuple(faces.get(number, str(number)) for number in numbers)
    problem = Problem("benchmark", "ood", "", cards, OOD_RULE)
    return grade(problem, compact_response(problem, formula), "compact").correct


def compare(repeats: int = REPEATS, sample_size: int = 30) -> Comparison:
    """Seconds a hand: the whole table, and the published solver on a sample of it."""
    hands = list(combinations_with_replacement(range(1, 14), 4))
    sample = random.Random(0).sample(hands, sample_size)
    table: dict[tuple[int, ...], str | None] = {}
    solutions: dict[tuple[int, ...], list[str]] = {}

    def ours(repeat: int) -> float:
        seconds, made = our_table()
        table.update(made)
        return seconds / len(made)

    def baseline(repeat: int) -> float:
        start = perf_counter()
        solutions.update((hand, published_solve(hand)) for hand in sample)
        return (perf_counter() - start) / len(sample)

    ours_seconds, baseline_seconds = alternate(ours, baseline, repeats)
    agreed = sum(bool(solutions[hand]) == (table[hand] is not None) for hand in sample)
    formulas = {hand: formula for hand, formula in table.items() if formula is not None}
    correct = sum(graded_correct(hand, formula) for hand, formula in formulas.items())
    return Comparison(
        name=f"solver, table of {len(table)} hands",
        baseline=f"published enumeration on {sample_size} hands",
        unit="hand",
        target=500,
        ours_seconds=ours_seconds,
        baseline_seconds=baseline_seconds,
        equal=agreed == sample_size and correct == len(formulas),
        checked=f"solvable or not on {agreed} of {sample_size} hands; "
        f"grader accepts {correct} of {len(formulas)} formulas",
    )


if __name__ == "__main__":
    show(compare())
