# SPDX-License-Identifier: MIT
"""The reward of the released matrix environments: 5 for a correct answer, -1 for anything else.

A text without an answer costs 1 too (jinhangzhan/RL_Heals_SFT, utils_rl.py). Steps earn nothing:
RL shapes them through the answer alone.
"""

from types import MappingProxyType
from typing import Final

REWARDS: Final = MappingProxyType({"correct": 5.0, "no_solution": -1.0})
"""Per outcome."""


def outcome_reward(*, correct: bool) -> float:
    """The reward of an outcome."""
    return REWARDS["correct" if correct else "no_solution"]
