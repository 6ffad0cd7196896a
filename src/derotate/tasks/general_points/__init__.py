# SPDX-License-Identifier: MIT
"""GeneralPoints: make 24 from four cards; J, Q and K count by a rule in the prompt."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derotate.tasks.general_points import (
        answers,
        by_hand,
        defaults,
        diverse,
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
        defaults=defaults,
        diverse=diverse,
        feedback=feedback,
        pretraining=pretraining,
        problems=problems,
        prompts=prompts,
        rewards=rewards,
        streams=streams,
    )
