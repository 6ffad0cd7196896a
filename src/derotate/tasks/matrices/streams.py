# SPDX-License-Identifier: MIT
"""Infinite stream of matrices for fine-tuning: epochs of permutations, determined by a seed.

The stream does not depend on the number of steps, so a later SFT segment continues it and an
earlier one keeps its samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic

from derotate.tasks.matrices.classes import MatrixClasses
from derotate.tasks.matrices.problem import P


@dataclass(frozen=True)
class MatrixStreams(Generic[P]):
    """The streams of a task with the splits `id` and `ood`."""

    classes: MatrixClasses[P]

    def id_stream(self, fold: str, seed: int) -> Iterator[P]:
        """ID problems of a fold, see `MatrixClasses.stream`."""
        return self.classes.stream("id", fold, seed)

    def ood_stream(self, fold: str, seed: int) -> Iterator[P]:
        """OOD problems of a fold, likewise."""
        return self.classes.stream("ood", fold, seed)

    def oracle_stream(self, seed: int) -> Iterator[P]:
        """ID problems of the fold `train` and OOD problems of the fold `trace`, alternating.

        No checkpoint is scored on `trace`: the oracle knows the OOD shape, and no answer of a test
        problem.
        """
        pairs = zip(self.id_stream("train", seed), self.ood_stream("trace", seed), strict=False)
        return chain.from_iterable(pairs)
