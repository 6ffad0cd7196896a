# SPDX-License-Identifier: MIT
"""Navigation: follow directions through streets; turns are named by the compass or by the side."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derotate.tasks.interface import Task
    from derotate.tasks.navigation import (
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
        success,
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
        success=success,
    )
