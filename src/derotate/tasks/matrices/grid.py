# SPDX-License-Identifier: MIT
"""Integer matrices: one text form for prompts and tables, and the symmetry that makes duplicates.

Permuting rows, permuting columns and transposing show the same numbers in other places. They keep
the rank and the size of the determinant, and what has to be computed hardly changes: a hold-out
that separated two such matrices would leak. All of them are one class, the unit of hold-out and of
error bars. Changing signs is left apart, although it keeps rank and size too: `3` and `-3` are
other numbers, with other products and sums to know.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations

Matrix = tuple[tuple[int, ...], ...]
"""Rows of equal length."""

ROW_END = "/"
DRAWS = 16
"""Random presentations tried for each one asked for; all 8 of a 2x2 class come within 128 draws but
for 3 cases in 10 million, and any of them is as good."""


def matrix_of(rows: Iterable[Iterable[int]]) -> Matrix:
    """The matrix of these rows.

    Raises:
        ValueError: no entry, or rows of different lengths.
    """
    matrix = tuple(tuple(row) for row in rows)
    lengths = {len(row) for row in matrix}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"matrix {matrix}: expected rows of one length, with at least one entry")
    return matrix


def spell(matrix: Matrix) -> str:
    """Entries and row ends between spaces, e.g. `2 -1 / 3 4`."""
    return f" {ROW_END} ".join(" ".join(map(str, row)) for row in matrix)


def read_matrix(text: str) -> Matrix:
    """The matrix that `spell` wrote.

    Raises:
        ValueError: an entry that is no whole number, or rows of different lengths.
    """
    try:
        return matrix_of([map(int, row.split()) for row in text.split(ROW_END)])
    except ValueError:
        raise ValueError(
            f"matrix {text!r}: expected whole numbers in rows of one length, as in '2 -1 / 3 4'"
        ) from None


def largest(matrix: Matrix) -> int:
    """The largest size of an entry."""
    return max(abs(entry) for row in matrix for entry in row)


def transposed(matrix: Matrix) -> Matrix:
    """Rows become columns."""
    return tuple(zip(*matrix, strict=True))


def canonical(matrix: Matrix) -> Matrix:
    """The representative of the matrix's class: no more rows than columns, columns sorted.

    Sorting the columns for each order of the rows costs r! sorts instead of r! c! matrices.
    """
    rows, columns = len(matrix), len(matrix[0])
    ways = [matrix] if rows <= columns else []
    ways += [transposed(matrix)] if rows >= columns else []
    return transposed(
        min(tuple(sorted(zip(*order, strict=True))) for way in ways for order in permutations(way))
    )


def class_name(matrix: Matrix) -> str:
    """The name of the matrix's class, e.g. `-1_2:4_3`; one for all its members."""
    return ":".join("_".join(map(str, row)) for row in canonical(matrix))


def shuffled(matrix: Matrix, draw: random.Random) -> Matrix:
    """A random member of the class that has the matrix's shape."""
    rows: Sequence[tuple[int, ...]] = matrix
    if len(rows) == len(rows[0]) and draw.random() < 0.5:
        rows = transposed(matrix)
    order = draw.sample(range(len(rows[0])), len(rows[0]))
    return tuple(tuple([row[column] for column in order]) for row in draw.sample(rows, len(rows)))


def presentations(
    home: Matrix, count: int, draw: random.Random, accept: Callable[[Matrix], bool]
) -> list[Matrix]:
    """`count` random members of a class that are accepted, different while there are others.

    Args:
        home: an accepted member; the only one, if no other is found.
        count: how many; they repeat from the start where the class has fewer.
        draw: the source of randomness; a longer list begins with the shorter one.
        accept: which members can be shown.
    """
    found: dict[Matrix, None] = {}
    for _ in range(DRAWS * count):
        if len(found) == count:
            break
        member = shuffled(home, draw)
        if member not in found and accept(member):
            found[member] = None
    known = list(found) or [home]
    return [known[index % len(known)] for index in range(count)]
