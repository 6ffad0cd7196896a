# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

That of the released environment gym_det, see `matrices.rewards`.
"""

from typing import Final

from derotate.tasks.determinant.answers import grade
from derotate.tasks.determinant.problems import Problem
from derotate.tasks.matrices.rewards import REWARDS as REWARDS
from derotate.tasks.matrices.rewards import outcome_reward

VERSION: Final = 1
"""Raised when the same response gets another reward."""


def reward(problem: Problem, response: str, style: str = "compact") -> float:
    """The reward of one response, see `matrices.rewards`."""
    return outcome_reward(correct=grade(problem, response, style).correct)
