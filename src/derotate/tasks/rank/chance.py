# SPDX-License-Identifier: MIT
"""What accuracy is worth without linear algebra: chance, and habits that need none or little."""

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
    """Accuracy, 0 to 1, of answering without sums of rows, or without the whole matrix.

    `differing_rows`: counts the rows that are no copies, which sees all dependence on one row and
    none on two. `first_four_rows`: ends where ID matrices end. `rows_of_five`: reads the numbers on
    in the shape of ID matrices. `zeros`: the best answer for each number of entries that are 0, the
    clue that the way of drawing leaves (drawn as the released environment does, the largest
    entry is one that gives 64 %, at a chance level of 20 %).
    """
    zeros = [sum(row.count(0) for row in p.matrix) for p in problems]
    return {
        "differing_rows": fmean(differing_rows(p) == p.answer for p in problems),
        "first_four_rows": fmean(rank(p.matrix[:4]) == p.answer for p in problems),
        "rows_of_five": fmean(read_in_id_shape(p) == p.answer for p in problems),
        "zeros": clue_level([p.answer for p in problems], zeros),
    }
