# SPDX-License-Identifier: MIT
"""What a model reads and what a perfect one answers, in two styles.

`compact` is for the tiny model with a word-level vocabulary: every token stands between spaces.
`natural` is for pretrained chat models: the same information as GeneralPoints-L of
arXiv 2501.17161 (task text with the face rule, cards in, JSON out), in our own words.
"""

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from derotate.tasks.general_points.problems import FACES, Problem
from derotate.tasks.general_points.solver import solve

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""

Messages = list[dict[str, str]]
"""A chat: dictionaries with `role` and `content`."""


def reference_formula(problem: Problem) -> str:
    """The solver's formula, without `= target`.

    Raises:
        ValueError: the problem has no solution.
    """
    formula = solve(problem.numbers, problem.target)
    if formula is None:
        raise ValueError(f"problem {problem.name}: {problem.cluster} cannot make {problem.target}")
    return formula


def compact_prompt(problem: Problem) -> str:
    """E.g. `rule J = 10 Q = 10 K = 10 ; cards 3 J 5 Q ; numbers`."""
    rule = " ".join(f"{face} = {value}" for face, value in zip(FACES, problem.rule, strict=True))
    return f"rule {rule} ; cards {' '.join(problem.cards)} ; numbers"


def compact_response(problem: Problem, formula: str | None = None) -> str:
    """E.g. `3 10 5 10 ; formula ( 10 - 5 ) * ... = 24`; the solver's formula by default."""
    numbers = " ".join(map(str, problem.numbers))
    formula = reference_formula(problem) if formula is None else formula
    return f"{numbers} ; formula {formula} = {problem.target}"


def natural_messages(problem: Problem) -> Messages:
    """One user turn: the task and the face rule, the hand, the form of the answer."""
    jack, queen, king = problem.rule
    content = (
        f"[Task]\n"
        f"You hold {len(problem.cards)} playing cards. Write a formula that is worth "
        f"{problem.target} and uses the number of every card exactly once.\n"
        f"Cards 1 to 10 count as their own number. 'J' counts as {jack}, 'Q' counts as {queen} "
        f"and 'K' counts as {king}.\n"
        f"Allowed are '+', '-', '*', '/' and brackets.\n\n"
        f"[Input]\n"
        f"Cards: [{', '.join(repr(card) for card in problem.cards)}]\n\n"
        f"[Output]\n"
        f"Answer with one JSON object and nothing else:\n"
        f"{{\n"
        f'  "cards": [the cards of your hand],\n'
        f'  "number": [the number of each card, in the same order],\n'
        f'  "formula": "a formula that is worth {problem.target}"\n'
        f"}}"
    )
    return [{"role": "user", "content": content}]


def natural_response(problem: Problem, formula: str | None = None) -> str:
    """The JSON text of a right answer; the solver's formula by default."""
    formula = reference_formula(problem) if formula is None else formula
    answer = {
        "cards": list(problem.cards),
        "number": list(problem.numbers),
        "formula": f"{formula} = {problem.target}",
    }
    return json.dumps(answer)


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
        ValueError: no such style, or the problem has no solution.
    """
    if style not in RESPONSES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(RESPONSES)}")
    return RESPONSES[style](problem)
