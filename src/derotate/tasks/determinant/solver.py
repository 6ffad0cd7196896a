# SPDX-License-Identifier: MIT
"""Determinants of 2x2 and 3x3 matrices, exact, as the lines of a calculation.

A 3x3 matrix is expanded along its first row: its three minors are 2x2 determinants, each a line as
in distribution, and two more lines add them up. So the OOD task is composed of steps of the ID
task: more of them, over longer distances in the text.
"""

from typing import Final, NamedTuple

from derotate.tasks.matrices.grid import Matrix

SIZES: Final = (2, 3)


class Line(NamedTuple):
    """One line of a calculation: `left sign right = result`."""

    left: int
    sign: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right} = {self.result}"


def require_square(matrix: Matrix) -> None:
    """Refuse what is not 2x2 or 3x3.

    Raises:
        ValueError: another shape.
    """
    if len(matrix) not in SIZES or {len(row) for row in matrix} != {len(matrix)}:
        shape = f"{len(matrix)}x{len(matrix[0]) if matrix else 0}"
        raise ValueError(f"matrix of {shape}: expected 2x2 or 3x3")


def _cross(a: int, b: int, c: int, d: int) -> Line:
    """The determinant of the rows (a, b) and (c, d)."""
    return Line(a * d, "-", b * c, a * d - b * c)


def minors(matrix: Matrix) -> tuple[Line, Line, Line]:
    """The determinants of a 3x3 matrix without its first row and one column, from left to right."""
    _, (a, b, c), (d, e, f) = matrix
    return _cross(b, c, e, f), _cross(a, c, d, f), _cross(a, b, d, e)


def combine(top: tuple[int, ...], parts: tuple[int, ...]) -> tuple[Line, Line]:
    """The first row times the values of its minors, with signs + - +, added from left to right."""
    first, second, third = (entry * part for entry, part in zip(top, parts, strict=True))
    begun = Line(first, "-", second, first - second)
    return begun, Line(begun.result, "+", third, begun.result + third)


def lines(matrix: Matrix) -> tuple[Line, ...]:
    """The calculation: one line for a 2x2 matrix, five for a 3x3 one.

    Raises:
        ValueError: another shape.
    """
    require_square(matrix)
    if len(matrix) == 2:
        (a, b), (c, d) = matrix
        return (_cross(a, b, c, d),)
    found = minors(matrix)
    return (*found, *combine(matrix[0], tuple(line.result for line in found)))


def determinant(matrix: Matrix) -> int:
    """The determinant, exact.

    Raises:
        ValueError: not 2x2 or 3x3.
    """
    return lines(matrix)[-1].result


def largest_number(matrix: Matrix) -> int:
    """The largest size of a number that the calculation names."""
    return max(abs(n) for line in lines(matrix) for n in (line.left, line.right, line.result))
