# SPDX-License-Identifier: MIT
"""Prompts and reference responses, in two styles.

`compact` is for the tiny model with a word-level vocabulary: spaces separate all tokens, and
the response spells out the expansion, since a determinant is no look-up. A number with its sign is
one token. With the sign apart an entry would have one or two tokens, and its place in the prompt
would no longer tell its row and column; the price is 101 number words, for -50 to 50.

`natural` is for pretrained chat models: what the released environment (gym_det) states, a question
and the matrix, and a JSON object with the key `answer`. Its prompt is missing from the release
(`Q_Determinant_L` is named and nowhere defined), so there is none to follow but in content.
"""

from typing import Final

from derotate.tasks.determinant.problems import Problem
from derotate.tasks.determinant.solver import lines
from derotate.tasks.matrices.grid import spell
from derotate.tasks.matrices.prompts import json_answer, question
from derotate.tasks.options import Messages, is_compact

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""


def compact_prompt(problem: Problem) -> str:
    """E.g. `det 2 -1 / 3 4 ; steps`."""
    return f"det {spell(problem.matrix)} ; steps"


def compact_response(problem: Problem) -> str:
    """E.g. `8 - -3 = 11 ; answer 11`."""
    return f"{' ; '.join(map(str, lines(problem.matrix)))} ; answer {problem.answer}"


def natural_messages(problem: Problem) -> Messages:
    """One user turn, see `matrices.prompts.question`."""
    return question(problem.matrix, "determinant")


def natural_response(problem: Problem) -> str:
    """The JSON text of the right answer."""
    return json_answer(problem.answer)


def prompt(problem: Problem, style: str) -> str | Messages:
    """The prompt: a text in the compact style, chat messages in the natural style."""
    return compact_prompt(problem) if is_compact(style) else natural_messages(problem)


def response(problem: Problem, style: str) -> str:
    """The reference answer."""
    return compact_response(problem) if is_compact(style) else natural_response(problem)
