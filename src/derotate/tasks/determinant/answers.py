# SPDX-License-Identifier: MIT
"""Grade what a model wrote by the number in its answer field, see `matrices.fields`."""

from enum import StrEnum
from typing import Final

from derotate.tasks.determinant.problems import Problem
from derotate.tasks.determinant.solver import determinant
from derotate.tasks.matrices import fields

VERSION: Final = 3
"""Raised when the same response gets another verdict."""


class ErrorKind(StrEnum):
    """The kind of a response: the first that applies, in the order of `grade`."""

    CORRECT = "correct"
    UNPARSABLE = "unparsable"
    ID_RULE_APPLIED = "id_rule_applied"
    WRONG_SIGN = "wrong_sign"
    WRONG_VALUE = "wrong_value"


Verdict = fields.Verdict[ErrorKind]
read = fields.read_field


def leading_block(problem: Problem) -> int:
    """The determinant of the first two rows and columns: the answer if a matrix is 2x2."""
    return determinant(tuple(row[:2] for row in problem.matrix[:2]))


def grade(problem: Problem, response: str, style: str = "compact") -> Verdict:
    """Grade a response by its answer only.

    unparsable: no answer field, or no whole number in it. Otherwise wrong, named id_rule_applied if
    a larger matrix was treated as a 2x2 one: by a calculation of one line (compact), by the
    determinant of its leading 2x2 block (natural, where no calculation is seen); wrong_sign if the
    determinant's size is right, wrong_value if not.

    Raises:
        ValueError: no such style.
    """
    found = read(response, style)
    if found.answer is None:
        return Verdict(ErrorKind.UNPARSABLE, None)
    if found.answer == problem.answer:
        return Verdict(ErrorKind.CORRECT, found.answer)
    if len(problem.matrix) > 2 and _treated_as_2x2(problem, found, style):
        return Verdict(ErrorKind.ID_RULE_APPLIED, found.answer)
    kind = ErrorKind.WRONG_SIGN if found.answer == -problem.answer else ErrorKind.WRONG_VALUE
    return Verdict(kind, found.answer)


def _treated_as_2x2(problem: Problem, found: fields.Response, style: str) -> bool:
    if style == "compact":
        return found.steps.count("=") == 1
    return found.answer == leading_block(problem)
