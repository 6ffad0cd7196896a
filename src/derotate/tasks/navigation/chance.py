# SPDX-License-Identifier: MIT
"""Accuracy without following the directions: the most frequent correct action."""

from collections.abc import Sequence

from derotate.tasks.chance import Chance, chance_level
from derotate.tasks.navigation.problems import Problem


def chance(problems: Sequence[Problem]) -> Chance[str]:
    """The chance level of these problems.

    Raises:
        ValueError: no problems.
    """
    return chance_level(problem.action for problem in problems)


def shortcuts(problems: Sequence[Problem]) -> dict[str, float]:
    """Accuracy, 0 to 1, of heuristics that read a part of the problem: none is known."""
    return {}
