# SPDX-License-Identifier: MIT
"""What accuracy is worth without an expansion: chance, and a habit that answers too early."""

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
    """Accuracy, 0 to 1, of answering without the whole matrix.

    `leading_block`: the determinant of the first two rows and columns, which is right in
    distribution.
    """
    return {"leading_block": fmean(leading_block(p) == p.answer for p in problems)}
