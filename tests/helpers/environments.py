# SPDX-License-Identifier: MIT
"""Environments of RL tests: prompts and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from derotate.models.chat import Prompt


def no_feedback(problem: int, response: str) -> str | None:
    """End every episode after its first response."""
    return None


@dataclass(frozen=True)
class ToyEnvironment:
    """Problems that are no more than their prompts; see `derotate.training.rl_job.Environment`."""

    prompts: Sequence[Prompt]
    reward: Callable[[int, str], float]
    feedback: Callable[[int, str], str | None] = no_feedback
    correct_reward: float = 5.0
    inputs: tuple[Path, ...] = ()
