# SPDX-License-Identifier: MIT
"""The papers' reward of a response.

Table and rules are those of the released code (LeslieTrue/SFTvsRL, utils_rl.py, `step_rewards`):
penalties add, and only a formula without any penalty is looked at for its value. Penalties are what
they are there, odd as it is that wrong numbers (-2 for foreign, -2 for unused ones) can cost more
than a text that is no formula (-3).
"""

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from derotate.tasks.general_points.answers import FormulaError, grade, read, tokenize
from derotate.tasks.general_points.problems import Problem
from derotate.tasks.general_points.solver import solve

VERSION: Final = 1
"""Raised when the same response gets another reward."""

REWARDS: Final = MappingProxyType(
    {
        "correct": 5.0,
        "partial": 1.0,
        "no_solution": -1.0,
        "wrong_recognition": -1.5,
        "wrong_number": -2.0,
        "illegal_formula": -3.0,
    }
)
"""Per event; `wrong_recognition` is the text-only analogue of the papers' wrong vision."""


def _misplaced(tokens: Sequence[str]) -> int:
    """How many tokens cannot stand where they do; an open end is none (it may be a prefix)."""
    faults, depth, after_operand = 0, 0, False
    for token in tokens:
        starts_operand = token.isdigit() or token == "("
        if starts_operand == after_operand:
            faults += 1
        elif token == "(":
            depth += 1
        elif token == ")":
            faults += depth == 0
            depth = max(depth - 1, 0)
        after_operand = token.isdigit() or token == ")"
    return faults


def _number_penalties(tokens: Sequence[str], problem: Problem) -> int:
    """One if a number is foreign or used too often, one more if a number is left unused."""
    used = Counter(int(token) for token in tokens if token.isdigit())
    held = Counter(problem.numbers)
    return bool(used - held) + bool(held - used)


def _is_strict_prefix(tokens: Sequence[str], problem: Problem) -> bool:
    formula = solve(problem.numbers, problem.target)
    solution = formula.split() if formula is not None else []
    return len(tokens) < len(solution) and list(tokens) == solution[: len(tokens)]


def _formula_reward(problem: Problem, formula: str | None, *, correct: bool) -> float:
    if formula is None:
        return REWARDS["illegal_formula"]
    try:
        tokens = tokenize(formula)
    except FormulaError:
        return REWARDS["illegal_formula"]
    penalty = _misplaced(tokens) * REWARDS["illegal_formula"]
    penalty += _number_penalties(tokens, problem) * REWARDS["wrong_number"]
    if penalty:
        return penalty
    if correct:
        return REWARDS["correct"]
    return REWARDS["partial" if _is_strict_prefix(tokens, problem) else "no_solution"]


def reward(problem: Problem, response: str, style: str = "compact") -> float:
    """The papers' reward of one response.

    correct +5; all numbers used but cut off inside the reference solution (a bracket left open) +1;
    another formula of the right numbers -1; each misplaced token -3; foreign or overused numbers
    -2, and unused ones another -2; no formula at all -3. Recognised numbers that are given and
    wrong cost a further 1.5.

    Raises:
        ValueError: no such style.
    """
    answer = read(response, style)
    total = _formula_reward(
        problem, answer.formula, correct=grade(problem, response, style).correct
    )
    if answer.recognised is not None and sorted(answer.recognised) != sorted(problem.numbers):
        total += REWARDS["wrong_recognition"]
    return total
