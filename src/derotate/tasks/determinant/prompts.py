# SPDX-License-Identifier: MIT
"""What a model reads and what a perfect one answers, in two styles.

`compact` is for the tiny model with a word-level vocabulary: every token stands between spaces, and
the response spells out the expansion, since a determinant is no look-up. A number with its sign is
one token. With the sign apart an entry would have one or two tokens, and its place in the prompt
would no longer tell its row and column; the price is 101 number words, for -50 to 50.

`natural` is for pretrained chat models: what the released environment (gym_det) states, a question
and the matrix, and a JSON object with the key `answer`. Its prompt is missing from the release
(`Q_Determinant_L` is named and nowhere defined), so there is none to follow but in content.
"""

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from derotate.tasks.determinant.problems import Problem
from derotate.tasks.determinant.solver import lines
from derotate.tasks.matrices.grid import spell

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""

Messages = list[dict[str, str]]
"""A chat: dictionaries with `role` and `content`."""


def compact_prompt(problem: Problem) -> str:
    """E.g. `det 2 -1 / 3 4 ; steps`."""
    return f"det {spell(problem.matrix)} ; steps"


def compact_response(problem: Problem) -> str:
    """E.g. `8 - -3 = 11 ; answer 11`."""
    return f"{' ; '.join(map(str, lines(problem.matrix)))} ; answer {problem.answer}"


def natural_messages(problem: Problem) -> Messages:
    """One user turn: the task, the matrix, the form of the answer."""
    rows = ",\n ".join(json.dumps(row) for row in problem.matrix)
    content = (
        f"[Task]\n"
        f"Work out the determinant of this matrix of whole numbers. It is given row by row.\n\n"
        f"[Input]\n"
        f"Matrix:\n"
        f"[{rows}]\n\n"
        f"[Output]\n"
        f"Answer with one JSON object and nothing else:\n"
        f"{{\n"
        f'  "answer": the determinant, a whole number\n'
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
        ValueError: no such style.
    """
    if style not in RESPONSES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(RESPONSES)}")
    return RESPONSES[style](problem)
