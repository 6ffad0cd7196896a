# SPDX-License-Identifier: MIT
"""What a model reads and what a perfect one answers, in two styles.

`compact` is for the tiny model with a word-level vocabulary: every token stands between spaces, and
the response walks through the rows, since a rank is no look-up: what the row is, and how many new
rows there are so far, so that the answer is the last count. An entry with its sign is one token, so
that its place tells its row and column. A row is judged against all sums and differences at once,
which attention can do: a candidate is out if one column speaks against it. Elimination, the
textbook's way, would take some 20 intermediate entries, each hanging on those before.

`natural` is for pretrained chat models: what the released environment (gym_rank) states, a question
and the matrix, and a JSON object with the key `answer`. Its prompt is missing from the release
(`Q_Rank_L` is named and nowhere defined), so there is none to follow but in content.
"""

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from derotate.tasks.matrices.grid import spell
from derotate.tasks.rank.problems import Problem
from derotate.tasks.rank.solver import judgements, walk

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""

Messages = list[dict[str, str]]
"""A chat: dictionaries with `role` and `content`."""


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
    """One user turn: the task, the matrix, the form of the answer."""
    rows = ",\n ".join(json.dumps(row) for row in problem.matrix)
    content = (
        f"[Task]\n"
        f"Work out the rank of this matrix of whole numbers. It is given row by row.\n\n"
        f"[Input]\n"
        f"Matrix:\n"
        f"[{rows}]\n\n"
        f"[Output]\n"
        f"Answer with one JSON object and nothing else:\n"
        f"{{\n"
        f'  "answer": the rank, a whole number\n'
        f"}}"
    )
    return [{"role": "user", "content": content}]


def natural_response(problem: Problem) -> str:
    """The JSON text of the right answer."""
    return json.dumps({"answer": problem.answer})


STYLES: Final[MappingProxyType[str, Callable[[Problem], str | Messages]]] = MappingProxyType(
    {"compact": compact_prompt, "natural": natural_messages}
)


def prompt(problem: Problem, style: str) -> str | Messages:
    """The prompt in a style: plain text for compact, chat messages for natural.

    Raises:
        ValueError: no such style.
    """
    if style not in STYLES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(STYLES)}")
    return STYLES[style](problem)


RESPONSES: Final[MappingProxyType[str, Callable[[Problem], str]]] = MappingProxyType(
    {"compact": compact_response, "natural": natural_response}
)


def response(problem: Problem, style: str) -> str:
    """The reference answer in a style.

    Raises:
        ValueError: no such style, or a matrix without a walk in compact.
    """
    if style not in RESPONSES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(RESPONSES)}")
    return RESPONSES[style](problem)
