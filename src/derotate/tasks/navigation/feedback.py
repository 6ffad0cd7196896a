# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt, read by the next one.

Apart from the rewards, so that an edit of a reward leaves evaluations alone.
"""

from derotate.tasks.navigation.answers import STYLES, ErrorKind, Verdict
from derotate.tasks.navigation.problems import Problem


def feedback(problem: Problem, verdict: Verdict, style: str = "compact") -> str:
    """What the verifier says after a failed attempt; like the papers', not what would be right.

    compact: words that follow the response, up to where the next one starts, e.g.
    `; wrong action ; leg`. natural: the content of a user turn.

    Raises:
        ValueError: the attempt was correct, so there is no next one; or no such style.
    """
    if verdict.correct:
        raise ValueError(f"problem {problem.name}: a correct attempt has no feedback")
    if style not in STYLES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(STYLES)}")
    if verdict.kind is ErrorKind.UNPARSABLE:
        words, sentence = "unreadable", "no action could be read from it"
    elif verdict.seen not in (None, problem.here):
        words, sentence = "wrong place", "the observation is not what you see now"
    else:
        words, sentence = "wrong action", "another action is due"
    if style == "compact":
        return f"; {words} ; leg"
    return f"This attempt failed: {sentence}. Try again and answer in the same form."
