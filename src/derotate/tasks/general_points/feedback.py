# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt, read by the next one.

Apart from the rewards, so that an edit of a reward leaves evaluations alone.
"""

from types import MappingProxyType
from typing import Final

from derotate.tasks.general_points.answers import ErrorKind, Verdict
from derotate.tasks.general_points.problems import Problem

# The ID rule is not named: the verifier of the papers says that numbers are wrong, not why.
_COMPACT_FEEDBACK: Final = MappingProxyType(
    {
        ErrorKind.UNPARSABLE: "; unreadable ; numbers",
        ErrorKind.WRONG_NUMBERS: "; wrong numbers ; numbers",
        ErrorKind.ID_RULE_APPLIED: "; wrong numbers ; numbers",
        ErrorKind.WRONG_VALUE: "; wrong value ; numbers",
    }
)


def _natural_reason(problem: Problem, verdict: Verdict) -> str:
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
    """What the verifier says after a failed attempt.

    compact: words that follow the response, up to where the next one starts, e.g.
    `; wrong value ; numbers`. natural: the content of a user turn.

    Raises:
        ValueError: the attempt was correct, so there is no next one; or no such style.
    """
    if verdict.correct:
        raise ValueError(f"problem {problem.name}: a correct attempt has no feedback")
    if style == "compact":
        return _COMPACT_FEEDBACK[verdict.kind]
    if style == "natural":
        return (
            f"This attempt failed: {_natural_reason(problem, verdict)}. "
            f"Try again and answer in the same form."
        )
    raise ValueError(f"style {style!r}: expected one of compact, natural")
