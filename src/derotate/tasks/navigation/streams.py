# SPDX-License-Identifier: MIT
"""Infinite stream of steps for fine-tuning: epochs of permutations, determined by a seed.

The stream does not depend on the number of steps, so a later SFT segment continues it and an
earlier one keeps its samples.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count

from derotate.tasks.navigation.problems import Problem, fold_of, steps_of
from derotate.tasks.navigation.routes import ROUTES
from derotate.tasks.navigation.streets import networks


def steps(fold: str, *splits: str) -> list[Problem]:
    """All steps of the splits on all routes of a fold's networks, in a fixed order."""
    return [
        problem
        for network in networks()
        if fold_of(network.name) == fold
        for number in range(ROUTES)
        for split in splits
        for problem in steps_of(split, network.name, number)
    ]


def _epochs(known: list[Problem], name: str) -> Iterator[Problem]:
    for epoch in count():
        for problem in random.Random(f"{name} {epoch}").sample(known, len(known)):
            yield replace(problem, name=f"{problem.name}-{epoch}")


def id_stream(fold: str, seed: int) -> Iterator[Problem]:
    """Infinite ID steps of a fold: each epoch is all of them, shuffled."""
    return _epochs(steps(fold, "id"), f"id {fold} {seed}")


def ood_stream(fold: str, seed: int) -> Iterator[Problem]:
    """Steps of a fold under the OOD rule for ever, those where no turn is due among them."""
    return _epochs(steps(fold, "ood", "ood_straight"), f"ood {fold} {seed}")


def oracle_stream(seed: int) -> Iterator[Problem]:
    """ID steps that SFT trains on and OOD steps of the `trace` fold, in turn.

    No checkpoint is scored on that fold: the oracle knows the OOD rule, and none of its routes.
    """
    pairs = zip(id_stream("train", seed), ood_stream("trace", seed), strict=False)
    return chain.from_iterable(pairs)
