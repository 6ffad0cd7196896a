# SPDX-License-Identifier: MIT
"""Matrices, splits, and the folds that keep equivalent matrices together.

| split | size | entries | classes |
|---|---|---|---|
| id | 2x2 | -4 to 4 | all 1,035, which are all 6,561 matrices |
| id_wide | 2x2 | -5 to 5, at least one of them 5 or -5 | all 1,176, 8,080 matrices |
| ood | 3x3 | -5 to 5 | a sample of 2,000 |
| ood_narrow | 3x3 | -4 to 4 | those of the sample of ood |

`id_wide` and `ood_narrow` separate the two changes from ID to OOD: larger entries, and a third row.
A class contains all row and column permutations and the transposes of a matrix
(`derotate.tasks.matrices.grid`). This matters for 2x2 matrices: up to 8 of them have the same two
products and the same answer up to its sign. If single matrices were held out, nearly every test
problem would have an equivalent training problem.

There are 11^9, two thousand million, 3x3 matrices, hence a sample. It is uniform over those whose
expansion names no number beyond 50, 44 % of all, so that each number is one word of the compact
language (`prompts`); that leaves determinants to 50, where 3x3 matrices in general reach 500. The
released environment (gym_det) draws half of its matrices symmetric and discards those with
determinant 0. Here the draw is uniform and 0 is an answer, the most frequent one: `chance` gives
its accuracy.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from types import MappingProxyType
from typing import Final

from derotate.tasks.determinant.solver import determinant, largest_number, require_square
from derotate.tasks.matrices.classes import MatrixClasses
from derotate.tasks.matrices.grid import Matrix, class_name, largest
from derotate.tasks.matrices.problem import MatrixProblem, assign_folds
from derotate.tasks.options import require_option

VERSION: Final = 1
"""Raised when the same arguments of `generate` give other problems."""
ID_BOUND: Final = 4
OOD_BOUND: Final = 5
LARGEST_NUMBER: Final = 50
SAMPLE: Final = 2_000

SPLITS: Final = ("id", "ood", "id_wide", "ood_narrow")
FOLDS: Final = ("train", "rl", "trace", "selection", "test")
# Shares in percent. Fine-tuning draws from the classes of `id` alone, so the others need no fold
# for it; `trace` is what the base and the oracle may see of them.
ID_SHARES: Final = MappingProxyType({"train": 60, "rl": 25, "selection": 5, "test": 10})
OOD_SHARES: Final = MappingProxyType({"trace": 20, "selection": 20, "test": 60})


@dataclass(frozen=True)
class Problem(MatrixProblem):
    """One square matrix whose determinant is asked for.

    Raises:
        ValueError: not 2x2 or 3x3.
    """

    def __post_init__(self) -> None:
        """Refuse what has no determinant here."""
        super().__post_init__()
        require_square(self.matrix)

    @property
    def answer(self) -> int:
        """The determinant."""
        return determinant(self.matrix)


def _pairs_of_pairs(bound: int) -> list[Matrix]:
    """One 2x2 matrix of each class: a diagonal and an antidiagonal, whose order does not matter."""
    entries = range(-bound, bound + 1)
    pairs = list(combinations_with_replacement(entries, 2))
    return [((a, b), (c, d)) for (a, d), (b, c) in combinations_with_replacement(pairs, 2)]


def draw_3x3(draw: random.Random, bound: int = OOD_BOUND) -> Matrix:
    """A uniform 3x3 matrix among those whose expansion stays within LARGEST_NUMBER."""
    while True:
        entries = [draw.randint(-bound, bound) for _ in range(9)]
        matrix = (tuple(entries[:3]), tuple(entries[3:6]), tuple(entries[6:]))
        if largest_number(matrix) <= LARGEST_NUMBER:
            return matrix


def _sampled() -> dict[str, Matrix]:
    """The classes of `ood`: the first ones of a fixed random sequence."""
    draw = random.Random("determinant ood")
    homes: dict[str, Matrix] = {}
    while len(homes) < SAMPLE:
        matrix = draw_3x3(draw)
        homes.setdefault(class_name(matrix), matrix)
    return homes


@lru_cache(maxsize=len(SPLITS))
def classes(split: str) -> Mapping[str, Matrix]:
    """Name of each class of a split -> one of its matrices that can be shown.

    Raises:
        ValueError: no such split.
    """
    require_option("split", split, SPLITS)
    if split == "ood":
        return MappingProxyType(_sampled())
    if split == "ood_narrow":
        sample = classes("ood").items()
        return MappingProxyType({name: home for name, home in sample if largest(home) <= ID_BOUND})
    homes = _pairs_of_pairs(ID_BOUND if split == "id" else OOD_BOUND)
    if split == "id_wide":
        homes = [home for home in homes if largest(home) == OOD_BOUND]
    return MappingProxyType({class_name(home): home for home in homes})


@lru_cache(maxsize=1)
def _folds() -> Mapping[str, str]:
    return MappingProxyType(
        assign_folds(classes("id"), ID_SHARES)
        | assign_folds(classes("id_wide"), OOD_SHARES)
        | assign_folds(classes("ood"), OOD_SHARES)
    )


CLASSES: Final = MatrixClasses(
    Problem,
    of_split=classes,
    folds=_folds,
    accept=lambda matrix: largest_number(matrix) <= LARGEST_NUMBER,
    described="a class of 2x2 matrices in [-5, 5] or of the OOD sample",
)
fold_of = CLASSES.fold_of
in_fold = CLASSES.in_fold
generate = CLASSES.generate
