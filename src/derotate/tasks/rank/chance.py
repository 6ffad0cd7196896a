# SPDX-License-Identifier: MIT
"""Accuracy without linear algebra: chance, and heuristics that need little or none."""

from collections.abc import Sequence
from statistics import fmean

from derotate.tasks.chance import Chance, chance_level, clue_level
from derotate.tasks.rank.answers import read_in_id_shape
from derotate.tasks.rank.problems import Problem
from derotate.tasks.rank.solver import rank


def chance(problems: Sequence[Problem]) -> Chance[int]:
    """The chance level of these problems; 1 in 4 for a whole fold.

    Raises:
        ValueError: no problems.
    """
    return chance_level(problem.answer for problem in problems)


def differing_rows(problem: Problem) -> int:
    """How many rows are neither zero nor plus or minus an earlier one, at most the columns."""
    signless = {max(row, tuple(-x for x in row)) for row in problem.matrix if any(row)}
    return min(len(signless), len(problem.matrix[0]))


def shortcuts(problems: Sequence[Problem]) -> dict[str, float]:
    """Accuracy, 0 to 1, of heuristics without sums of rows, or on a part of the matrix.

    `differing_rows`: counts rows that are no copies; it detects dependence on one row, not on two.
    `first_four_rows`: ignores the fifth row. `rows_of_five`: reads the numbers in the shape of ID
    matrices. `zeros`: the best answer per number of zero entries, the clue that remains in how
    matrices are drawn. (Drawn as in the released environment, the largest entry is a clue of 64 %
    at a chance level of 20 %.)
    """
    zeros = [sum(row.count(0) for row in p.matrix) for p in problems]
    return {
        "differing_rows": fmean(differing_rows(p) == p.answer for p in problems),
        "first_four_rows": fmean(rank(p.matrix[:4]) == p.answer for p in problems),
        "rows_of_five": fmean(read_in_id_shape(p) == p.answer for p in problems),
        "zeros": clue_level([p.answer for p in problems], zeros),
    }
