# SPDX-License-Identifier: MIT
"""A problem as typed on the command line."""

from derotate.tasks.determinant.problems import Problem
from derotate.tasks.matrices.by_hand import FORM as FORM
from derotate.tasks.matrices.by_hand import typed_problem


def problem(text: str) -> Problem:
    """The problem of a matrix, see `matrices.by_hand`."""
    return typed_problem(Problem, text)
