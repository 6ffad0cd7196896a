# SPDX-License-Identifier: MIT
"""Prompts and reference responses, in two styles.

`compact` is for the tiny model with a word-level vocabulary: spaces separate all tokens.
`natural` is for pretrained chat models: the same information as GeneralPoints-L of
arXiv 2501.17161 (task text with the face rule, cards in, JSON out), in our own words.
"""

import json
from typing import Final

from derotate.tasks.general_points.problems import FACES, Problem
from derotate.tasks.general_points.solver import solve
from derotate.tasks.options import Messages, is_compact

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""


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


def prompt(problem: Problem, style: str) -> str | Messages:
    """The prompt: a text in the compact style, chat messages in the natural style."""
    return compact_prompt(problem) if is_compact(style) else natural_messages(problem)


def response(problem: Problem, style: str) -> str:
    """The reference answer; ValueError for a problem without a solution."""
    return compact_response(problem) if is_compact(style) else natural_response(problem)
