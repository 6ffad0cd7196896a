# SPDX-License-Identifier: MIT
"""The endless order of matrices that fine-tuning trains on: epochs of permutations, from a seed.

A stream does not know where it ends, so a later SFT segment continues it and an earlier one keeps
its samples.
"""

import random
from collections.abc import Iterator

from derotate.tasks.matrices.stream import epochs
from derotate.tasks.rank.problems import Problem, in_fold, matrices


def _stream(split: str, fold: str, seed: int) -> Iterator[Problem]:
    def deal(cluster: str, name: str, draw: random.Random) -> Problem:
        (matrix,) = matrices(split, cluster, 1, draw)
        return Problem(name, split, fold, matrix)

    return epochs(f"{split} {fold} {seed}", in_fold(split, fold), deal)


def id_stream(fold: str, seed: int) -> Iterator[Problem]:
    """4x5 problems of a fold for ever: an epoch is all its classes, each in a new presentation."""
    return _stream("id", fold, seed)


def ood_stream(fold: str, seed: int) -> Iterator[Problem]:
    """5x4 problems of a fold for ever, likewise."""
    return _stream("ood", fold, seed)


def oracle_stream(seed: int) -> Iterator[Problem]:
    """4x5 problems that SFT trains on and 5x4 problems of the `trace` fold, in turn.

    No checkpoint is scored on that fold: the oracle knows the other shape, and none of its answers.
    """
    for pair in zip(id_stream("train", seed), ood_stream("trace", seed), strict=False):
        yield from pair
