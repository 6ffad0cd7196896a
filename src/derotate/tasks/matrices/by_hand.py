# SPDX-License-Identifier: MIT
"""A matrix problem as typed on the command line."""

from typing import Final

from derotate.tasks.matrices.grid import read_matrix
from derotate.tasks.matrices.problem import P

FORM: Final = "a matrix, its rows between slashes, as in '2 -1 / 3 4'"


def typed_problem(problem: type[P], text: str) -> P:
    """The problem of a matrix, of a task's class of problems.

    Raises:
        ValueError: no matrix, or one that the task has no problems for.
    """
    return problem(name="by-hand", split="id", fold="test", matrix=read_matrix(text))
