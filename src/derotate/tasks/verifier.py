# SPDX-License-Identifier: MIT
"""The form of a verifier's message, the same for all tasks."""

from derotate.tasks.options import is_compact


def require_failed(problem: str, *, correct: bool) -> None:
    """Refuse feedback on a correct attempt, since no attempt follows it.

    Raises:
        ValueError: the attempt was correct.
    """
    if correct:
        raise ValueError(f"problem {problem}: a correct attempt has no feedback")


def message(style: str, *, words: str, reason: str, next_word: str) -> str:
    """The message after a failed attempt.

    Args:
        style: compact or natural.
        words: what was wrong, in words of the compact style.
        reason: the same as a clause.
        next_word: the word after which the next compact attempt starts.

    Returns:
        compact: words that follow the response, e.g. `; wrong value ; numbers`. natural: the
        content of a user turn.

    Raises:
        ValueError: no such style.
    """
    if is_compact(style):
        return f"; {words} ; {next_word}"
    return f"This attempt failed: {reason}. Try again and answer in the same form."
