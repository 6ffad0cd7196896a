# SPDX-License-Identifier: MIT
"""Determinant: of 2x2 matrices in distribution, of 3x3 matrices out of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derotate.tasks.determinant import (
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
    from derotate.tasks.interface import Task

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
