# SPDX-License-Identifier: MIT
"""Read and grade what a model wrote.

Model output is data: it is parsed with a grammar over a few ASCII tokens and computed in exact
fractions, never evaluated as code. The parser uses an explicit stack and rejects long formulas
before parsing, so that no text causes recursion, overflow or a long run.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from derotate.tasks.general_points.problems import ID_RULE, Problem, map_cards
from derotate.tasks.options import is_compact
from derotate.tasks.responses import ascii_signs, compact_text, last_answer

VERSION: Final = 3
"""Raised when the same response gets another verdict."""

# The longest minimal formula of four cards has 27 characters; the rest is for redundant brackets.
MAX_FORMULA: Final = 256
MAX_RECOGNISED: Final = 16

_TOKEN: Final = re.compile(r"[ \t\r\n]*(?:([0-9]+)|([-+*/()]))")
_INTEGER: Final = re.compile(r"[0-9]{1,6}")
_PRECEDENCE: Final = {"+": 1, "-": 1, "*": 2, "/": 2}


class FormulaError(ValueError):
    """An invalid formula, or one without a value; the message is one line."""


class ErrorKind(StrEnum):
    """The kind of a response: the first that applies, in the order of `grade`."""

    CORRECT = "correct"
    UNPARSABLE = "unparsable"
    WRONG_NUMBERS = "wrong_numbers"
    ID_RULE_APPLIED = "id_rule_applied"
    WRONG_VALUE = "wrong_value"


@dataclass(frozen=True)
class Verdict:
    """The grade of one response.

    `value` is the value of the formula, None for no formula or a division by zero. `recognised` are
    the numbers of the cards as stated by the response, None if it states none.
    """

    kind: ErrorKind
    value: Fraction | None
    recognised: tuple[int, ...] | None

    @property
    def correct(self) -> bool:
        """Whether the formula uses each number once and has the target value."""
        return self.kind is ErrorKind.CORRECT


@dataclass(frozen=True)
class Formula:
    """A parsed formula: its numbers in order, its value (None: a division by zero)."""

    numbers: tuple[int, ...]
    value: Fraction | None


def tokenize(text: str) -> list[str]:
    """The numbers, operators and brackets of a formula, in order.

    Raises:
        FormulaError: another character, or more than MAX_FORMULA characters.
    """
    if len(text) > MAX_FORMULA:
        raise FormulaError(f"formula of {len(text)} characters: expected at most {MAX_FORMULA}")
    text = ascii_signs(text).rstrip(" \t\r\n")
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FormulaError(f"formula has {text[position:].lstrip()[:1]!a}: expected 0-9+-*/()")
        tokens.append(match.group().strip())
        position = match.end()
    return tokens


def _apply(op: str, left: Fraction | None, right: Fraction | None) -> Fraction | None:
    if left is None or right is None or (op == "/" and right == 0):
        return None
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    return left * right if op == "*" else left / right


def parse(text: str) -> Formula:
    """Read a formula of whole numbers, + - * / (or their Unicode signs) and brackets.

    Dijkstra's shunting-yard with an explicit stack; equal precedence goes from left to right.
    There is no sign before a number, and no number without an operator between.

    Raises:
        FormulaError: not a formula of this grammar, or longer than MAX_FORMULA characters.
    """
    values: list[Fraction | None] = []
    operators: list[str] = []
    numbers: list[int] = []
    expects_operand = True

    def reduce_top() -> None:
        right, left = values.pop(), values.pop()
        values.append(_apply(operators.pop(), left, right))

    for token in tokenize(text):
        starts_operand = token.isdigit() or token == "("
        if starts_operand != expects_operand:
            raise FormulaError(f"formula has {token!r} where an operand or operator is missing")
        if token == "(":
            operators.append(token)
        elif token == ")":
            while operators and operators[-1] != "(":
                reduce_top()
            if not operators:
                raise FormulaError("formula closes a bracket that it did not open")
            operators.pop()
        elif token in _PRECEDENCE:
            while operators and _PRECEDENCE.get(operators[-1], 0) >= _PRECEDENCE[token]:
                reduce_top()
            operators.append(token)
            expects_operand = True
        else:
            numbers.append(int(token))
            values.append(Fraction(numbers[-1]))
            expects_operand = False
    if expects_operand:
        raise FormulaError("formula ends where a number is missing")
    while operators:
        if operators[-1] == "(":
            raise FormulaError("formula opens a bracket that it does not close")
        reduce_top()
    return Formula(tuple(numbers), values[0])


def value(formula: str) -> Fraction:
    """The exact value of a formula.

    Raises:
        FormulaError: not a formula, or it divides by zero.
    """
    result = parse(formula).value
    if result is None:
        raise FormulaError("formula divides by zero")
    return result


@dataclass(frozen=True)
class Answer:
    """The parts of a response: the recognised numbers, the formula, its claimed value.

    `formula` is None if the response does not have the form of its style.
    """

    recognised: tuple[int, ...] | None
    formula: str | None
    claimed: int | None


def _integers(items: Sequence[object]) -> tuple[int, ...] | None:
    texts = [ascii_signs(str(item)) for item in items if isinstance(item, str | int)]
    if not 0 < len(texts) == len(items) <= MAX_RECOGNISED:
        return None
    if not all(_INTEGER.fullmatch(text) for text in texts):
        return None
    return tuple(int(text) for text in texts)


def _read_compact(response: str) -> Answer:
    numbers, separator, rest = compact_text(response).partition(";")
    recognised = _integers(numbers.split())
    words = rest.split(maxsplit=1)
    if not separator or recognised is None or len(words) < 2 or words[0] != "formula":
        return Answer(recognised, None, None)
    formula, _, claim = words[1].partition("=")
    claimed = _integers(claim.split())
    if claimed is None or len(claimed) != 1:
        return Answer(recognised, None, None)
    return Answer(recognised, formula, claimed[0])


def _read_natural(response: str) -> Answer:
    fields = last_answer(response, "formula")
    if fields is None:
        return Answer(None, None, None)
    numbers, text = fields.get("number"), fields.get("formula")
    recognised = _integers(numbers) if isinstance(numbers, list) else None
    if not isinstance(text, str):
        return Answer(recognised, None, None)
    formula, equals, claim = text.partition("=")
    claimed = _integers(claim.split())
    if equals and (claimed is None or len(claimed) != 1):
        return Answer(recognised, None, None)
    return Answer(recognised, formula, claimed[0] if claimed else None)


def read(response: str, style: str = "compact") -> Answer:
    """Parse a response.

    compact: `numbers ; formula EXPRESSION = TARGET`, up to `<eos>`. natural: the last JSON object
    with `formula`, its fields `number` and `formula` (`= TARGET` may be left out).

    Raises:
        ValueError: no such style.
    """
    return _read_compact(response) if is_compact(style) else _read_natural(response)


def grade(problem: Problem, response: str, style: str = "compact") -> Verdict:
    """Grade a response by its formula only.

    unparsable: not the form of the style, or no formula. Otherwise wrong_numbers: not each number
    of the problem once; id_rule_applied if they are the numbers of the cards under the ID rule.
    Otherwise wrong_value: not the target, or another claimed value.

    Raises:
        ValueError: no such style.
    """
    answer = read(response, style)
    if answer.formula is None:
        return Verdict(ErrorKind.UNPARSABLE, None, answer.recognised)
    try:
        formula = parse(answer.formula)
    except FormulaError:
        return Verdict(ErrorKind.UNPARSABLE, None, answer.recognised)
    return Verdict(_kind(problem, formula, answer.claimed), formula.value, answer.recognised)


def _kind(problem: Problem, formula: Formula, claimed: int | None) -> ErrorKind:
    used = sorted(formula.numbers)
    if used != sorted(problem.numbers):
        id_numbers = sorted(map_cards(problem.cards, ID_RULE))
        return ErrorKind.ID_RULE_APPLIED if used == id_numbers else ErrorKind.WRONG_NUMBERS
    if formula.value != problem.target or claimed not in (None, problem.target):
        return ErrorKind.WRONG_VALUE
    return ErrorKind.CORRECT
