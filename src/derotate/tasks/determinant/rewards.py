# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

That of the released code (jinhangzhan/RL_Heals_SFT, gym_det, with the values of utils_rl.py): 5 for
the determinant, -1 for anything else, a text without an answer included. There is no reward for
steps, so what RL does to them it does by their outcome.
"""

from types import MappingProxyType
from typing import Final

from derotate.tasks.determinant.answers import grade
from derotate.tasks.determinant.problems import Problem

VERSION: Final = 1
"""Raised when the same response gets another reward."""

REWARDS: Final = MappingProxyType({"correct": 5.0, "no_solution": -1.0})
"""Per outcome."""


def reward(problem: Problem, response: str, style: str = "compact") -> float:
    """The papers' reward of one response.

    Raises:
        ValueError: no such style.
    """
    return REWARDS["correct" if grade(problem, response, style).correct else "no_solution"]
