# SPDX-License-Identifier: MIT
"""A problem as a person writes it on the command line."""

from derotate.tasks.determinant.problems import Problem
from derotate.tasks.matrices.grid import read_matrix

FORM = "a matrix, its rows between slashes, as in '2 -1 / 3 4'"


def problem(text: str) -> Problem:
    """The problem of a matrix.

    Raises:
        ValueError: no matrix, or one that is not 2x2 or 3x3.
    """
    return Problem(name="by-hand", split="id", fold="test", matrix=read_matrix(text))
