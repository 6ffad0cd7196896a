# SPDX-License-Identifier: MIT
"""The matrix classes of a task's splits: folds, presentations and problems."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Generic

from derotate.tasks.matrices.grid import Matrix, presentations
from derotate.tasks.matrices.problem import P


@dataclass(frozen=True)
class MatrixClasses(Generic[P]):
    """The classes of all splits of a task.

    Attributes:
        problem: the task's class of problems.
        of_split: split -> name of each class -> one accepted matrix of it.
        folds: name of each class of any split -> its fold.
        accept: whether a matrix can be presented.
        described: which classes there are, for error messages.
    """

    problem: type[P]
    of_split: Callable[[str], Mapping[str, Matrix]]
    folds: Callable[[], Mapping[str, str]]
    accept: Callable[[Matrix], bool]
    described: str

    def fold_of(self, cluster: str) -> str:
        """The fold of a class by its name.

        Raises:
            ValueError: the class is in no split.
        """
        try:
            return self.folds()[cluster]
        except KeyError:
            raise ValueError(f"class {cluster}: expected {self.described}") from None

    def in_fold(self, split: str, fold: str) -> Sequence[str]:
        """Names of the classes of a split that are in a fold, in a fixed order."""
        return [name for name in self.of_split(split) if self.fold_of(name) == fold]

    def held_out(self, splits: Iterable[str]) -> frozenset[str]:
        """Names of the classes that checkpoints are selected or tested on."""
        return frozenset(
            name
            for split in splits
            for fold in ("selection", "test")
            for name in self.in_fold(split, fold)
        )

    def matrices(self, split: str, cluster: str, count: int, draw: random.Random) -> list[Matrix]:
        """`count` presentations of a class of a split, see `matrices.grid.presentations`."""
        return presentations(self.of_split(split)[cluster], count, draw, self.accept)

    def deal(self, split: str, cluster: str, name: str, draw: random.Random) -> P:
        """A problem that shows the class in a random presentation."""
        (matrix,) = self.matrices(split, cluster, 1, draw)
        return self.problem(name, split, self.fold_of(cluster), matrix)

    def generate(self, split: str, orders: int, seed: int) -> list[P]:
        """Every class of a split, in `orders` presentations.

        They differ as long as the class has others (four equal entries have one). They depend on
        (seed, split, class) only, and more orders keep the first ones.

        Raises:
            ValueError: no such split, or orders < 1.
        """
        if orders < 1:
            raise ValueError(f"orders {orders}: expected at least 1")
        return [
            self.problem(f"{split}-{cluster}-{order}", split, self.fold_of(cluster), matrix)
            for cluster in self.of_split(split)
            for order, matrix in enumerate(
                self.matrices(split, cluster, orders, random.Random(f"{seed}/{split}/{cluster}"))
            )
        ]

    def stream(self, split: str, fold: str, seed: int) -> Iterator[P]:
        """Endless problems: each epoch shows all classes, shuffled, in new presentations."""
        label = f"{split} {fold} {seed}"
        clusters = self.in_fold(split, fold)
        for epoch in count():
            draw = random.Random(f"{label} {epoch}")
            for index, cluster in enumerate(draw.sample(clusters, len(clusters))):
                name = f"{label.replace(' ', '-')}-{cluster}-{epoch}-{index}"
                yield self.deal(split, cluster, name, draw)
