# SPDX-License-Identifier: MIT
"""Infinite stream of hands for fine-tuning: epochs of permutations, determined by a seed.

The stream does not depend on the number of steps, so a later SFT segment continues it and an
earlier one keeps its samples.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, combinations_with_replacement, count

from derotate.tasks.general_points.problems import (
    FACES,
    ID_RULE,
    PLAIN_RANKS,
    Problem,
    cluster_of,
    fold_of,
    generate,
    map_cards,
    solvable_sets,
)


def hands(fold: str) -> list[tuple[str, ...]]:
    """All hands of four ranks, J, Q, K and 10 distinct, that map into a fold under the ID rule."""
    solvable = set(solvable_sets(with_large=False))
    return [
        cards
        for cards in combinations_with_replacement((*PLAIN_RANKS, *FACES), 4)
        if (numbers := tuple(sorted(map_cards(cards, ID_RULE)))) in solvable
        and fold_of(numbers) == fold
    ]


def id_stream(fold: str, seed: int) -> Iterator[Problem]:
    """Infinite ID problems of a fold: each epoch is all hands, shuffled, their cards shuffled."""
    known = hands(fold)
    for epoch in count():
        draw = random.Random(f"{fold} {seed} {epoch}")
        for index, cards in enumerate(draw.sample(known, len(known))):
            shuffled = tuple(draw.sample(cards, len(cards)))
            yield Problem(
                name=f"{fold}-{cluster_of(map_cards(cards, ID_RULE))}-{epoch}-{index}",
                split="id",
                fold=fold,
                cards=shuffled,
                rule=ID_RULE,
            )


def ood_stream(fold: str, seed: int) -> Iterator[Problem]:
    """Infinite OOD problems of a fold: each epoch shuffles and redeals its sets."""
    for epoch in count():
        own = [
            problem
            for problem in generate("ood", 1, seed=seed * 1_000_003 + epoch)
            if problem.fold == fold
        ]
        yield from random.Random(f"ood {fold} {seed} {epoch}").sample(own, len(own))


def oracle_stream(seed: int) -> Iterator[Problem]:
    """ID problems that SFT trains on and OOD problems of the `trace` fold, in turn.

    No checkpoint is scored on that fold: the oracle knows the OOD rule, and none of its answers.
    """
    pairs = zip(id_stream("train", seed), ood_stream("trace", seed), strict=False)
    return chain.from_iterable(pairs)
