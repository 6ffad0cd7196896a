# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

The table is that of the released code (LeslieTrue/SFTvsRL, utils_rl.py, REWARD_FN_VIRL), and so is
the order: a right action earns its reward whatever else is said; beside a wrong one, a wrong
observation costs more than a right or missing one.

A wrong observation is there one that claims or misses an intersection. It is compared with the
landmark part of the true one, which never has that word, so a right report of an intersection is
punished beside a wrong action. Here it is one that names another place than the one seen.

The -1 that an episode of the released environment ends with, for a response beyond the last attempt
that nobody grades, has no place: here an episode ends with its last attempt.
"""

from types import MappingProxyType
from typing import Final

from derotate.tasks.navigation.answers import grade
from derotate.tasks.navigation.problems import Problem

VERSION: Final = 1
"""Raised when the same response gets another reward."""

REWARDS: Final = MappingProxyType(
    {
        "correct": 1.0,
        "wrong_action": -1.0,
        "wrong_observation": -1.5,
        "wrong_instruction": -1.75,  # in the released table, but given neither there nor here
    }
)


def reward(problem: Problem, response: str, style: str = "compact") -> float:
    """The papers' reward of one response.

    Raises:
        ValueError: no such style.
    """
    verdict = grade(problem, response, style)
    if verdict.correct:
        return REWARDS["correct"]
    wrongly_seen = verdict.seen is not None and verdict.seen != problem.here
    return REWARDS["wrong_observation" if wrongly_seen else "wrong_action"]
