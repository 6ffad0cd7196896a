# SPDX-License-Identifier: MIT
"""Rank: of 4x5 matrices in distribution, of 5x4 matrices out of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derotate.tasks.interface import Task
    from derotate.tasks.rank import (
        answers,
        by_hand,
        chance,
        defaults,
        feedback,
        pretraining,
        problems,
        prompts,
        rewards,
        streams,
    )

    # Never executed: here mypy compares the parts with the interface.
    TASK = Task(
        answers=answers,
        by_hand=by_hand,
        chance=chance,
        defaults=defaults,
        feedback=feedback,
        pretraining=pretraining,
        problems=problems,
        prompts=prompts,
        rewards=rewards,
        streams=streams,
    )
