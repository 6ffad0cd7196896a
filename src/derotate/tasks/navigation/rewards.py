# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

The values and their order are those of the released code (LeslieTrue/SFTvsRL, utils_rl.py,
REWARD_FN_VIRL). A correct action earns its reward whatever the observation. With a wrong action, a
wrong observation costs more than a correct or missing one.

In the released code, an observation is wrong if it claims or omits an intersection. It is compared
with the landmark part of the true observation, which never contains that word, so a correct report
of an intersection is punished when the action is wrong. Here an observation is wrong if it names
another place than the one seen.

The released environment ends an episode with -1 for an ungraded response after the last attempt.
Here an episode ends with its last attempt, so there is no such reward.
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
