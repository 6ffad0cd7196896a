# SPDX-License-Identifier: MIT
"""The rank of an integer matrix, exact, as a walk through its rows.

Each row is judged against the rows before it: either it is new, or it is zero, or it is plus or
minus one earlier new row, or the sum or difference of two. Earlier *new* rows are independent, so
there is at most one such way, and the number of new rows is the rank. A dependent row can need
other factors; then `rank` works and `walk` does not.
"""

from collections.abc import Sequence
from typing import Final

from derotate.tasks.matrices.grid import Matrix

Judgement = tuple[int, ...] | None
"""None for a new row; otherwise signed numbers, from 1, of the new rows that add up to it."""

NEW: Final = "new"
ZERO: Final = "zero"

_Echelon = list[tuple[int, Sequence[int]]]
"""Reduced rows, each with the place of its first entry that is not zero."""


def _extend(echelon: _Echelon, row: Sequence[int]) -> bool:
    """Whether the row is independent of those before; if so, it is added.

    Rows are cross-multiplied instead of divided, so that all values stay integers.
    """
    for pivot, base in echelon:
        if row[pivot]:
            row = [x * base[pivot] - y * row[pivot] for x, y in zip(row, base, strict=True)]
    for place, entry in enumerate(row):
        if entry:
            echelon.append((place, row))
            return True
    return False


def rank(matrix: Matrix) -> int:
    """The rank, by fraction-free elimination."""
    echelon: _Echelon = []
    return sum(_extend(echelon, row) for row in matrix)


def judgements(matrix: Matrix) -> tuple[Judgement, ...] | None:
    """What each row is, in order; None if a row needs other factors or more rows than two."""
    width = len(matrix[0])
    known: dict[tuple[int, ...], tuple[int, ...]] = {(0,) * width: ()}
    echelon: _Echelon = []
    found: list[Judgement] = []
    for number, row in enumerate(matrix, start=1):
        terms = known.get(row)
        if terms is None:
            if not _extend(echelon, row):
                return None
            singles = [(vector, terms) for vector, terms in known.items() if len(terms) < 2]
            for sign in (1, -1):
                for vector, terms in singles:
                    total = tuple([v + sign * x for v, x in zip(vector, row, strict=True)])
                    known[total] = (*terms, sign * number)
            found.append(None)
        else:
            found.append(terms)
    return tuple(found)


def spell_judgement(judgement: Judgement) -> str:
    """`new`, `zero`, or signed row names, e.g. `+r1 -r2`."""
    if judgement is None:
        return NEW
    return " ".join(f"{'+' if n > 0 else '-'}r{abs(n)}" for n in judgement) or ZERO


def walk(found: Sequence[Judgement]) -> str:
    """Row, judgement, new rows so far, e.g. `r1 new 1 r2 +r1 1 r3 new 2`."""
    words, count = [], 0
    for number, judgement in enumerate(found, start=1):
        count += judgement is None
        words.append(f"r{number} {spell_judgement(judgement)} {count}")
    return " ".join(words)
