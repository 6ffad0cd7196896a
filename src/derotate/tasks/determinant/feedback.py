# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt; the next attempt reads it.

A hint at the sign would give half of the answer away.
"""

from derotate.tasks.determinant.answers import Verdict
from derotate.tasks.determinant.problems import Problem
from derotate.tasks.matrices.feedback import feedback_on


def feedback(problem: Problem, verdict: Verdict, style: str = "compact") -> str:
    """The message after a failed attempt, see `matrices.feedback`."""
    return feedback_on("determinant", problem, verdict, style)
