# SPDX-License-Identifier: MIT
"""The hands of SFT under rules that change from sample to sample.

Is forgetting of other rules caused by a constant prompt, as arXiv 2510.00237 claims? SFT on this
stream differs from plain SFT only in the rule that a prompt states and its answer follows. This is
a separate module so that it is not in the digest of plain SFT.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from derotate.tasks.general_points.pretraining import RULES
from derotate.tasks.general_points.problems import (
    Problem,
    Rule,
    cluster_of,
    fold_of,
    map_cards,
    solvable_sets,
)
from derotate.tasks.general_points.streams import id_stream

FOLDS = ("train", "trace")
"""Folds that nothing is scored on out of distribution; `train` is what plain SFT learns."""


def diverse_stream(seed: int) -> Iterator[Problem]:
    """The hands that SFT trains on with this seed, in its order, each under a rule drawn anew.

    The rule is drawn uniformly from those of pretraining (J, Q, K from 10 to 13 each, but never the
    OOD rule 11, 12, 13 itself) under which the hand can be solved and is in a fold for training:
    `train` for numbers up to 10, `trace` with an 11, 12 or 13. The ID rule is always one of them.

    So SFT sees no number set of `rl`, `selection` or `test` and not the OOD rule, but the `trace`
    sets whole and in the answer format, which plain SFT never does, and each of J = 11, Q = 12 and
    K = 13 in rules that differ from the OOD rule elsewhere. To follow that rule is to combine them.
    A hand without faces is under any rule the same numbers: there the rule only varies the prompt.
    Since few sets with an 11, 12 or 13 are in `trace`, faces still count 10 in two thirds of the
    places where they stand; 15 % of the samples hold one that does not.
    """
    draw = random.Random(f"diverse {seed}")
    for index, hand in enumerate(id_stream("train", seed)):
        rule = draw.choice(_rules(tuple(sorted(hand.cards))))
        numbers = map_cards(hand.cards, rule)
        name = f"diverse-{cluster_of(numbers)}-{index}"
        yield replace(hand, name=name, split="diverse", fold=fold_of(numbers), rule=rule)


@cache
def _rules(cards: tuple[str, ...]) -> Sequence[Rule]:
    """The rules under which SFT may learn a hand."""
    return [rule for rule in RULES if tuple(sorted(map_cards(cards, rule))) in _learned()]


@cache
def _learned() -> frozenset[tuple[int, ...]]:
    """The number sets that SFT may see."""
    return frozenset(
        numbers
        for with_large in (False, True)
        for numbers in solvable_sets(with_large=with_large)
        if fold_of(numbers) in FOLDS
    )
