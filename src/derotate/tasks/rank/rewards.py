# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

That of the released code (jinhangzhan/RL_Heals_SFT, gym_rank, with the values of utils_rl.py): 5
for the rank, -1 for anything else, a text without an answer included. Numbers are compared there by
their remainders of 1000, a leftover by which 1003 counts as 3; not so here.
"""

from types import MappingProxyType
from typing import Final

from derotate.tasks.rank.answers import grade
from derotate.tasks.rank.problems import Problem

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
