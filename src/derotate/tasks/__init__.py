# SPDX-License-Identifier: MIT
"""The tasks by name.

The table is static and its modules are imported on demand, so that planning a workflow imports
neither a task it does not use nor anything heavy.
"""

from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Final

TASKS: Final = MappingProxyType(
    {
        "determinant": "derotate.tasks.determinant",
        "general_points": "derotate.tasks.general_points",
        "navigation": "derotate.tasks.navigation",
        "rank": "derotate.tasks.rank",
    }
)
"""Task name -> package with the parts problems, prompts, answers, rewards, feedback, streams,
pretraining, by_hand and defaults; where its answers can be guessed, chance too, and where the rule
in its prompts can vary, diverse."""


def module(task: str, part: str) -> ModuleType:
    """Import one part of a task, e.g. `module("general_points", "answers")`.

    Raises:
        ValueError: no such task, or the task has no such part.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: expected one of {', '.join(sorted(TASKS))}")
    name = f"{TASKS[task]}.{part}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ValueError(f"task {task!r} has no part {part!r}") from None
