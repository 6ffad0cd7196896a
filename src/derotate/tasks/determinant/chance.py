# SPDX-License-Identifier: MIT
"""Accuracy without an expansion: chance, and a heuristic that reads the leading 2x2 block."""

from collections.abc import Sequence
from statistics import fmean

from derotate.tasks.chance import Chance, chance_level
from derotate.tasks.determinant.answers import leading_block
from derotate.tasks.determinant.problems import Problem


def chance(problems: Sequence[Problem]) -> Chance[int]:
    """The chance level of these problems; the best constant answer is 0.

    Raises:
        ValueError: no problems.
    """
    return chance_level(problem.answer for problem in problems)


def shortcuts(problems: Sequence[Problem]) -> dict[str, float]:
    """Accuracy, 0 to 1, of a heuristic that reads a part of the matrix.

    `leading_block`: the determinant of the first two rows and columns, which is correct in
    distribution.
    """
    return {"leading_block": fmean(leading_block(p) == p.answer for p in problems)}
