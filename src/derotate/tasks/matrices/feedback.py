# SPDX-License-Identifier: MIT
"""The verifier's message of a matrix task.

As in the released environments it says whether an answer was found, and never how it is wrong. A
hint would give part of the answer away.
"""

from enum import StrEnum

from derotate.tasks.matrices.fields import Verdict
from derotate.tasks.matrices.problem import MatrixProblem
from derotate.tasks.verifier import message, require_failed


def feedback_on(
    quantity: str, problem: MatrixProblem, verdict: Verdict[StrEnum], style: str
) -> str:
    """The message after a failed attempt.

    Args:
        quantity: what was asked for, e.g. "determinant".
        problem: the problem.
        verdict: on the attempt.
        style: compact or natural, see `verifier.message`.

    Raises:
        ValueError: the attempt was correct; or no such style.
    """
    require_failed(problem.name, correct=verdict.correct)
    if verdict.answer is None:
        words, reason = "unreadable", "no whole number could be read as its answer"
    else:
        words, reason = "wrong", f"the {quantity} is not {verdict.answer}"
    return message(style, words=words, reason=reason, next_word="steps")
