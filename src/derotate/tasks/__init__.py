# SPDX-License-Identifier: MIT
"""The tasks by name.

The table is static. A part of a task is imported when it is first used, so that planning a workflow
imports neither a task that it does not use nor anything heavy.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from derotate.tasks.interface import Task
    from derotate.tasks.task_defaults import Defaults

TASKS: Final = ("determinant", "general_points", "navigation", "rank")
"""Names of the tasks; each is a package beside this module, see `derotate.tasks.interface`."""


OPTIONAL_PARTS: Final = ("chance", "diverse", "success")


class _LazyParts:
    """The parts of a task as attributes, imported on first use; None for an absent optional one."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, part: str) -> ModuleType | None:
        name = f"{self._package}.{part}"
        if find_spec(name) is None:
            if part in OPTIONAL_PARTS:
                return None
            raise AttributeError(f"{self._package} has no part {part!r}")
        return import_module(name)


def load(task: str) -> "Task[Any, Any]":
    """The parts of a task, e.g. `load("rank").answers.grade(problem, response)`.

    Raises:
        ValueError: no such task.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r}: expected one of {', '.join(TASKS)}")
    # The cast is sound: mypy builds the same `Task` in the `__init__` of each task.
    return cast("Task[Any, Any]", _LazyParts(f"{__name__}.{task}"))


def defaults(task: str) -> "Defaults":
    """The defaults of a study of a task; cheap enough to import while Snakemake plans.

    Raises:
        ValueError: no such task.
    """
    return load(task).defaults.DEFAULTS
