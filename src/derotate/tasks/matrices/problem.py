# SPDX-License-Identifier: MIT
"""A problem that is one matrix, as a row of a table, and the folds of matrix classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Self, TypeVar

from derotate.tasks.matrices.grid import Matrix, class_name, matrix_of, read_matrix, spell


@dataclass(frozen=True)
class MatrixProblem:
    """One matrix of one split.

    Raises:
        ValueError: no entry, or rows of different lengths.
    """

    name: str
    split: str
    fold: str
    matrix: Matrix

    def __post_init__(self) -> None:
        """Refuse what is no matrix."""
        matrix_of(self.matrix)

    @property
    def cluster(self) -> str:
        """The class of the matrix: the unit of hold-out and of error bars."""
        return class_name(self.matrix)

    def to_row(self) -> dict[str, str | int]:
        """The problem as a flat row for CSV; `from_row` reads it back."""
        return {
            "name": self.name,
            "split": self.split,
            "fold": self.fold,
            "matrix": spell(self.matrix),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, str | int]) -> Self:
        """Read a row of `to_row`; other columns are ignored.

        Raises:
            ValueError: a matrix that cannot be read.
            KeyError: a column is missing.
        """
        return cls(
            name=str(row["name"]),
            split=str(row["split"]),
            fold=str(row["fold"]),
            matrix=read_matrix(str(row["matrix"])),
        )


P = TypeVar("P", bound=MatrixProblem)


def assign_folds(names: Iterable[str], shares: Mapping[str, int]) -> dict[str, str]:
    """Class name -> fold, with shares in percent kept exactly (to the rounding of a cut).

    The names are ranked by their hash and the ranking is cut. So a fold does not depend on the
    order in which classes are listed, and the sizes are exact, unlike with a hash threshold.
    """
    ranked = sorted(names, key=lambda name: sha256(name.encode()).digest())
    folds: dict[str, str] = {}
    start = 0
    for fold, share in zip(shares, accumulate(shares.values()), strict=True):
        end = round(len(ranked) * share / 100)
        folds.update(dict.fromkeys(ranked[start:end], fold))
        start = end
    return folds
