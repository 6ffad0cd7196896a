# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt, read by the next one.

As in the released environment it says whether an answer was found, and never how it is wrong: with
four possible answers, too low or too high would give the rest away.
"""

from typing import Final

from derotate.tasks.rank.answers import STYLES, ErrorKind, Verdict
from derotate.tasks.rank.problems import Problem

_UNREADABLE: Final = "no whole number could be read as its answer"


def feedback(problem: Problem, verdict: Verdict, style: str = "compact") -> str:
    """What the verifier says after a failed attempt.

    compact: words that follow the response, up to where the next one starts. natural: the content
    of a user turn.

    Raises:
        ValueError: the attempt was correct, so there is no next one; or no such style.
    """
    if verdict.correct:
        raise ValueError(f"problem {problem.name}: a correct attempt has no feedback")
    if style not in STYLES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(STYLES)}")
    unreadable = verdict.kind is ErrorKind.UNPARSABLE
    if style == "compact":
        return f"; {'unreadable' if unreadable else 'wrong'} ; steps"
    reason = _UNREADABLE if unreadable else f"the rank is not {verdict.answer}"
    return f"This attempt failed: {reason}. Try again and answer in the same form."
