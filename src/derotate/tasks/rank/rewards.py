# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

That of the released environment gym_rank, see `matrices.rewards`. The released code compares
numbers modulo 1000, so that 1003 counts as 3; here they are compared as they are.
"""

from typing import Final

from derotate.tasks.matrices.rewards import REWARDS as REWARDS
from derotate.tasks.matrices.rewards import outcome_reward
from derotate.tasks.rank.answers import grade
from derotate.tasks.rank.problems import Problem

VERSION: Final = 1
"""Raised when the same response gets another reward."""


def reward(problem: Problem, response: str, style: str = "compact") -> float:
    """The reward of one response, see `matrices.rewards`."""
    return outcome_reward(correct=grade(problem, response, style).correct)
