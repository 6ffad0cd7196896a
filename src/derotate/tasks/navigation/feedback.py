# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt; the next attempt reads it.

Separate from the rewards, so that an edit of a reward reruns no evaluation.
"""

from derotate.tasks.navigation.answers import ErrorKind, Verdict
from derotate.tasks.navigation.problems import Problem
from derotate.tasks.verifier import message, require_failed


def feedback(problem: Problem, verdict: Verdict, style: str = "compact") -> str:
    """The message after a failed attempt, e.g. `; wrong action ; leg`, see `tasks.verifier`.

    Like the papers' verifier it does not say what would be correct.

    Raises:
        ValueError: the attempt was correct; or no such style.
    """
    require_failed(problem.name, correct=verdict.correct)
    if verdict.kind is ErrorKind.UNPARSABLE:
        words, reason = "unreadable", "no action could be read from it"
    elif verdict.seen not in (None, problem.here):
        words, reason = "wrong place", "the observation is not what you see now"
    else:
        words, reason = "wrong action", "another action is due"
    return message(style, words=words, reason=reason, next_word="leg")
