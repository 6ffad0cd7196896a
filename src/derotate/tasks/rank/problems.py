# SPDX-License-Identifier: MIT
"""Matrices of known rank, splits, and the folds that keep equivalent matrices together.

| split | shape | entries | classes, as many of each rank from 1 to 4 |
|---|---|---|---|
| id | 4x5 | -2 to 2 | a sample of 1,200 |
| ood | 5x4 | -3 to 3, at least one of them 3 or -3 | a sample of 2,000 |

Transposing keeps the rank and makes a 5x4 matrix of a 4x5 one, so it is the symmetry to watch here:
a class (`derotate.tasks.matrices.grid`) holds a matrix and its transpose, and since every OOD
matrix has an entry that no ID matrix has, no class is in both splits. What changes is the reading:
five rows of four where fine-tuning saw four rows of five, twenty numbers in either case. Reading
the numbers in rows of five gives 25 % accuracy, as guessing does. Ignoring the fifth row gives
87 %, since it seldom changes the rank (`chance.shortcuts`). So OOD accuracy detects misread rows,
but hardly an ignored row.

Where this departs from the released environment (gym_rank), and why:

- Rank 0 is left out. Only one matrix has it, which would be a fifth of all problems there.
- Dependent rows are sums of at most two others, with factors 1 and -1; there the whole matrix is a
  product of two random ones. Its entries run to 64 (ID) and 100 (OOD), in elimination to thousands,
  and their size gives the rank away. Here new and dependent rows share one small range.
- The shape of OOD problems is that of its split; the released evaluation of OOD draws ID problems.

The spaces are finite, 880 classes for rank 1 in distribution and beyond use for the higher ranks,
so all ranks are sampled. The samples are drawn row by row and do not weigh all matrices alike.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from derotate.tasks.matrices.classes import MatrixClasses
from derotate.tasks.matrices.grid import Matrix, class_name, largest
from derotate.tasks.matrices.problem import MatrixProblem, assign_folds
from derotate.tasks.options import require_option
from derotate.tasks.rank.solver import judgements, rank

VERSION: Final = 1
"""Raised when the same arguments of `generate` give other problems."""

RANKS: Final = (1, 2, 3, 4)
SPLITS: Final = ("id", "ood")
FOLDS: Final = ("train", "rl", "trace", "selection", "test")
# Shares in percent of the classes of each rank. Fine-tuning draws from `id` alone; `trace` is what
# the base and the oracle may see of `ood`.
ID_SHARES: Final = MappingProxyType({"train": 60, "rl": 25, "selection": 5, "test": 10})
OOD_SHARES: Final = MappingProxyType({"trace": 20, "selection": 20, "test": 60})

# How many rows a dependent row adds up, with shares. Mostly two: counting rows that are no copies
# of each other should not be enough. With one independent row there are only copies of it.
TERMS: Final = ((0, 1, 2), (0.03, 0.12, 0.85))
TERMS_OF_ONE: Final = ((0, 1), (0.2, 0.8))
# Weights of the entries -bound to bound of new rows. Small ones prevail, so that sums of rows have
# entries of the same range and most of them fit in it.
WEIGHTS: Final = MappingProxyType({2: (1, 3, 4, 3, 1), 3: (1, 2, 4, 5, 4, 2, 1)})


class Kind(NamedTuple):
    """The matrices of a split: shape, largest entry, classes of each rank."""

    rows: int
    columns: int
    bound: int
    per_rank: int


KINDS_OF_SPLIT: Final = MappingProxyType(
    {"id": Kind(4, 5, bound=2, per_rank=300), "ood": Kind(5, 4, bound=3, per_rank=500)}
)
ID_COLUMNS: Final = KINDS_OF_SPLIT["id"].columns
ID_BOUND: Final = KINDS_OF_SPLIT["id"].bound
OOD_BOUND: Final = KINDS_OF_SPLIT["ood"].bound


@dataclass(frozen=True)
class Problem(MatrixProblem):
    """One matrix whose rank is asked for."""

    @property
    def answer(self) -> int:
        """The rank."""
        return rank(self.matrix)


def _sum_of(
    basis: Sequence[tuple[int, ...]], size: int, columns: int, draw: random.Random
) -> tuple[int, ...]:
    row = [0] * columns
    for base in draw.sample(basis, size):
        sign = draw.choice((1, -1))
        row = [x + sign * y for x, y in zip(row, base, strict=True)]
    return tuple(row)


def draw_matrix(draw: random.Random, rows: int, columns: int, wanted: int, bound: int) -> Matrix:
    """A random matrix of a rank whose walk names each row: new rows and sums of them, shuffled.

    Args:
        draw: the source of randomness.
        rows: of the matrix.
        columns: of the matrix.
        wanted: the rank, from 1 to the smaller of both.
        bound: the largest size of an entry, 2 or 3.
    """
    # The sizes are drawn once: drawn anew with each attempt, the sums that fit more easily would
    # crowd out the others.
    sizes = draw.choices(*(TERMS_OF_ONE if wanted == 1 else TERMS), k=rows - wanted)
    values = range(-bound, bound + 1)
    while True:
        basis = [tuple(draw.choices(values, WEIGHTS[bound], k=columns)) for _ in range(wanted)]
        made = basis + [_sum_of(basis, size, columns, draw) for size in sizes]
        draw.shuffle(made)
        matrix = tuple(made)
        if largest(matrix) > bound:
            continue
        found = judgements(matrix)
        if found is not None and found.count(None) == wanted:
            return matrix


@lru_cache(maxsize=len(SPLITS))
def classes(split: str) -> Mapping[str, Matrix]:
    """Name of each class of a split -> one of its matrices that can be shown; rank by rank.

    Raises:
        ValueError: no such split.
    """
    require_option("split", split, SPLITS)
    kind = KINDS_OF_SPLIT[split]
    homes: dict[str, Matrix] = {}
    for wanted in RANKS:
        draw = random.Random(f"rank {split} {wanted}")
        while len(homes) < wanted * kind.per_rank:
            matrix = draw_matrix(draw, kind.rows, kind.columns, wanted, kind.bound)
            if split == "id" or largest(matrix) == kind.bound:
                homes.setdefault(class_name(matrix), matrix)
    return MappingProxyType(homes)


@lru_cache(maxsize=1)
def _folds() -> Mapping[str, str]:
    folds: dict[str, str] = {}
    for split, shares in (("id", ID_SHARES), ("ood", OOD_SHARES)):
        names = list(classes(split))
        per_rank = KINDS_OF_SPLIT[split].per_rank
        # Each rank on its own, so that ranks are alike in every fold and chance is 1 in 4.
        for start in range(0, len(names), per_rank):
            folds |= assign_folds(names[start : start + per_rank], shares)
    return MappingProxyType(folds)


# Only presentations whose walk exists: with the rows in another order a dependent row may need a
# factor of 2.
CLASSES: Final = MatrixClasses(
    Problem,
    of_split=classes,
    folds=_folds,
    accept=lambda matrix: judgements(matrix) is not None,
    described="a class of the ID or OOD sample",
)
fold_of = CLASSES.fold_of
in_fold = CLASSES.in_fold
generate = CLASSES.generate
