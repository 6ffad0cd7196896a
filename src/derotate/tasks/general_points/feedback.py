# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt; the next attempt reads it.

Separate from the rewards, so that an edit of a reward reruns no evaluation.
"""

from types import MappingProxyType
from typing import Final

from derotate.tasks.general_points.answers import ErrorKind, Verdict
from derotate.tasks.general_points.problems import Problem
from derotate.tasks.verifier import message, require_failed

# The ID rule is not named: the verifier of the papers says that numbers are wrong, not why.
_WORDS: Final = MappingProxyType(
    {
        ErrorKind.UNPARSABLE: "unreadable",
        ErrorKind.WRONG_NUMBERS: "wrong numbers",
        ErrorKind.ID_RULE_APPLIED: "wrong numbers",
        ErrorKind.WRONG_VALUE: "wrong value",
    }
)


def _reason(problem: Problem, verdict: Verdict) -> str:
    if verdict.kind is ErrorKind.UNPARSABLE:
        return "no formula could be read from it"
    if verdict.kind is not ErrorKind.WRONG_VALUE:
        return "the formula does not use the number of each of your cards exactly once"
    if verdict.value is None:
        return "the formula divides by zero"
    if verdict.value == problem.target:
        return f"the formula does not say that it is worth {problem.target}"
    return f"the formula is worth {verdict.value}, not {problem.target}"


def feedback(problem: Problem, verdict: Verdict, style: str = "compact") -> str:
    """The message after a failed attempt, e.g. `; wrong value ; numbers`, see `tasks.verifier`.

    Raises:
        ValueError: the attempt was correct; or no such style.
    """
    require_failed(problem.name, correct=verdict.correct)
    reason = _reason(problem, verdict)
    return message(style, words=_WORDS[verdict.kind], reason=reason, next_word="numbers")
