# SPDX-License-Identifier: MIT
"""Prompts and reference responses, in two styles.

`compact` is for the tiny model with a word-level vocabulary: spaces separate all tokens, and
the response walks through the rows, since a rank is no look-up: what the row is, and how many new
rows there are so far, so that the answer is the last count. An entry with its sign is one token, so
that its place tells its row and column. A row is judged against all sums and differences at once,
which attention can do: a candidate is out if one column speaks against it. Elimination, the
textbook's way, would take some 20 intermediate entries, each hanging on those before.

`natural` is for pretrained chat models: what the released environment (gym_rank) states, a question
and the matrix, and a JSON object with the key `answer`. Its prompt is missing from the release
(`Q_Rank_L` is named and nowhere defined), so there is none to follow but in content.
"""

from typing import Final

from derotate.tasks.matrices.grid import spell
from derotate.tasks.matrices.prompts import json_answer, question
from derotate.tasks.options import Messages, is_compact
from derotate.tasks.rank.problems import Problem
from derotate.tasks.rank.solver import judgements, walk

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""


def compact_prompt(problem: Problem) -> str:
    """E.g. `rank 1 0 2 / 0 1 1 / 1 1 3 ; steps`."""
    return f"rank {spell(problem.matrix)} ; steps"


def compact_response(problem: Problem) -> str:
    """E.g. `r1 new 1 r2 new 2 r3 +r1 +r2 2 ; answer 2`.

    Raises:
        ValueError: a row is no sum of at most two new rows, see `solver`.
    """
    found = judgements(problem.matrix)
    if found is None:
        raise ValueError(
            f"problem {problem.name}: a row of {spell(problem.matrix)} is neither new nor plus or "
            f"minus one or two rows; expected a matrix of `generate`, or style natural"
        )
    return f"{walk(found)} ; answer {problem.answer}"


def natural_messages(problem: Problem) -> Messages:
    """One user turn, see `matrices.prompts.question`."""
    return question(problem.matrix, "rank")


def natural_response(problem: Problem) -> str:
    """The JSON text of the right answer."""
    return json_answer(problem.answer)


def prompt(problem: Problem, style: str) -> str | Messages:
    """The prompt: a text in the compact style, chat messages in the natural style."""
    return compact_prompt(problem) if is_compact(style) else natural_messages(problem)


def response(problem: Problem, style: str) -> str:
    """The reference answer; ValueError for a matrix without a walk in the compact style."""
    return compact_response(problem) if is_compact(style) else natural_response(problem)
