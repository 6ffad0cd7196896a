# SPDX-License-Identifier: MIT
"""Grade what a model wrote by the number in its answer field, see `matrices.fields`."""

from enum import StrEnum
from itertools import chain
from typing import Final

from derotate.tasks.matrices import fields
from derotate.tasks.rank.problems import ID_COLUMNS, Problem
from derotate.tasks.rank.solver import rank

VERSION: Final = 3
"""Raised when the same response gets another verdict."""


class ErrorKind(StrEnum):
    """The kind of a response: the first that applies, in the order of `grade`."""

    CORRECT = "correct"
    UNPARSABLE = "unparsable"
    IMPOSSIBLE = "impossible"
    ID_RULE_APPLIED = "id_rule_applied"
    TOO_LOW = "too_low"
    TOO_HIGH = "too_high"


Verdict = fields.Verdict[ErrorKind]
read = fields.read_field


def read_in_id_shape(problem: Problem) -> int:
    """The rank of the matrix's numbers written on in rows of five, as ID matrices have them."""
    entries = tuple(chain.from_iterable(problem.matrix))
    return rank(
        tuple(
            entries[start : start + ID_COLUMNS]
            for start in range(0, len(entries) - ID_COLUMNS + 1, ID_COLUMNS)
        )
    )


def grade(problem: Problem, response: str, style: str = "compact") -> Verdict:
    """Grade a response by its answer only.

    unparsable: no answer field, or no whole number in it; impossible: no rank of a matrix of this
    shape. Otherwise wrong, named id_rule_applied if a 5x4 matrix was treated as a 4x5 one: by a
    walk that ends after four rows (compact), by the rank of its numbers in rows of five (natural,
    where no walk is seen: with four possible answers one in three other errors looks the same);
    too_low or too_high if not.

    Raises:
        ValueError: no such style.
    """
    found = read(response, style)
    if found.answer is None:
        return Verdict(ErrorKind.UNPARSABLE, None)
    return Verdict(_kind(problem, found, found.answer, style), found.answer)


def _kind(problem: Problem, found: fields.Response, answer: int, style: str) -> ErrorKind:
    if answer == problem.answer:
        return ErrorKind.CORRECT
    if not 0 <= answer <= min(len(problem.matrix), len(problem.matrix[0])):
        return ErrorKind.IMPOSSIBLE
    if len(problem.matrix[0]) != ID_COLUMNS and _treated_as_4x5(problem, found, answer, style):
        return ErrorKind.ID_RULE_APPLIED
    return ErrorKind.TOO_LOW if answer < problem.answer else ErrorKind.TOO_HIGH


def _treated_as_4x5(problem: Problem, found: fields.Response, answer: int, style: str) -> bool:
    if style == "compact":
        return "r4" in found.steps and "r5" not in found.steps
    return answer == read_in_id_shape(problem)
