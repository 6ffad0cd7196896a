# SPDX-License-Identifier: MIT
"""A problem as typed on the command line."""

from derotate.tasks.matrices.by_hand import FORM as FORM
from derotate.tasks.matrices.by_hand import typed_problem
from derotate.tasks.rank.problems import Problem


def problem(text: str) -> Problem:
    """The problem of a matrix, see `matrices.by_hand`."""
    return typed_problem(Problem, text)
