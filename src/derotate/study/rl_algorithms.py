# SPDX-License-Identifier: MIT
"""The RL algorithms: one entry each, from which rules, labels, colours and pages follow.

Several algorithms may share a block of settings: the control with shuffled rewards is GRPO with
GRPO's settings. The module imports no config, so tables and figures that name algorithms do not
rerun when the config schema changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True)
class RlAlgorithm:
    """One RL algorithm.

    Attributes:
        settings: its block under `rl` in the config, and the module of `derotate.training` with it.
        label: its name in messages.
        short: its name on axes and in legends.
        description: its name on pages.
        role: its colour, a role of `derotate.figures.style`.
        task_parts: modules of the task that training calls.
        shuffled_rewards: whether rewards are permuted within each update, the control.
    """

    settings: Literal["grpo", "ppo"]
    label: str
    short: str
    description: str
    role: Literal["grpo", "ppo", "control"]
    task_parts: tuple[str, ...] = ("prompts", "rewards")
    shuffled_rewards: bool = False


RL_ALGORITHMS: Final[Mapping[str, RlAlgorithm]] = MappingProxyType(
    {
        "grpo": RlAlgorithm("grpo", "GRPO", "GRPO", "GRPO", "grpo"),
        "shuffled": RlAlgorithm(
            "grpo",
            "GRPO with shuffled rewards",
            "shuffled rewards",
            "shuffled rewards (control)",
            "control",
            shuffled_rewards=True,
        ),
        "ppo": RlAlgorithm(
            "ppo", "PPO", "PPO", "PPO", "ppo", task_parts=("prompts", "rewards", "feedback")
        ),
    }
)
"""By name, as `rl.runs` and checkpoint labels have it."""
