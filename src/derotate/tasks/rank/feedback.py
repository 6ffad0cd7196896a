# SPDX-License-Identifier: MIT
"""The verifier's message after a failed attempt; the next attempt reads it.

With four possible answers, a hint at too low or too high would give the rest away.
"""

from derotate.tasks.matrices.feedback import feedback_on
from derotate.tasks.rank.answers import Verdict
from derotate.tasks.rank.problems import Problem


def feedback(problem: Problem, verdict: Verdict, style: str = "compact") -> str:
    """The message after a failed attempt, see `matrices.feedback`."""
    return feedback_on("rank", problem, verdict, style)
