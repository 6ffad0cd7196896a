# SPDX-License-Identifier: MIT
"""Hands of cards, rules for the numbers of face cards, and the folds of hands.

All ways of dealing the same numbers are one problem: under the ID rule J, Q, K and 10 are the same
number, so a hold-out by card ranks would leak. The unit of hold-out is the multiset of numbers that
a hand maps to under the rule of its prompt.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, permutations, product
from types import MappingProxyType
from typing import Final

from derotate.tasks.general_points.solver import solution_table
from derotate.tasks.options import require_option

Rule = tuple[int, int, int]
"""The numbers that J, Q and K stand for."""

VERSION: Final = 1
"""Raised when the same arguments of `generate` give other problems."""
ID_RULE: Final[Rule] = (10, 10, 10)
OOD_RULE: Final[Rule] = (11, 12, 13)
TARGET: Final = 24
FACES: Final = ("J", "Q", "K")
PLAIN_RANKS: Final = tuple(str(rank) for rank in range(1, 11))
LARGEST_PLAIN: Final = 10

SPLITS: Final = ("id", "ood", "id_faces", "ood_plain")
FOLDS: Final = ("train", "rl", "trace", "selection", "test")
# Shares in percent. Multisets with an 11, 12 or 13 cannot occur under the ID rule, so fine-tuning
# cannot see them whatever their fold: they are folded on their own.
PLAIN_SHARES: Final = MappingProxyType({"train": 60, "rl": 25, "selection": 5, "test": 10})
FACE_SHARES: Final = MappingProxyType({"trace": 20, "selection": 20, "test": 60})


@dataclass(frozen=True)
class Problem:
    """One dealt hand under one rule.

    Raises:
        ValueError: a card that is none of 1..10, J, Q, K, or a rule that is not three numbers.
    """

    name: str
    split: str
    fold: str
    cards: tuple[str, ...]
    rule: Rule
    target: int = TARGET

    def __post_init__(self) -> None:
        """Refuse what cannot be mapped to numbers."""
        if len(self.rule) != len(FACES):
            raise ValueError(f"rule {self.rule}: expected three numbers, for J, Q and K")
        if not self.cards:
            raise ValueError("no cards: expected at least one of 1..10, J, Q, K")
        for card in self.cards:
            if card not in PLAIN_RANKS and card not in FACES:
                raise ValueError(f"card {card!r}: expected one of 1..10, J, Q, K")

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the cards stand for under the problem's rule, in dealt order."""
        return map_cards(self.cards, self.rule)

    @property
    def cluster(self) -> str:
        """The sorted numbers, e.g. `3-5-11-12`: the unit of hold-out and of error bars."""
        return cluster_of(self.numbers)

    def to_row(self) -> dict[str, str | int]:
        """The problem as a flat row for CSV; `from_row` reads it back."""
        return {
            "name": self.name,
            "split": self.split,
            "fold": self.fold,
            "cards": " ".join(self.cards),
            "rule": " ".join(map(str, self.rule)),
            "target": self.target,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, str | int]) -> "Problem":
        """Read a row of `to_row`; other columns are ignored.

        Raises:
            ValueError: a card or rule that cannot be read.
            KeyError: a column is missing.
        """
        jack, queen, king = (int(value) for value in str(row["rule"]).split())
        return cls(
            name=str(row["name"]),
            split=str(row["split"]),
            fold=str(row["fold"]),
            cards=tuple(str(row["cards"]).split()),
            rule=(jack, queen, king),
            target=int(row["target"]),
        )


def map_cards(cards: Sequence[str], rule: Rule) -> tuple[int, ...]:
    """The numbers of the cards under a rule, in the order of the cards."""
    faces = dict(zip(FACES, rule, strict=True))
    return tuple(faces[card] if card in faces else int(card) for card in cards)


def cluster_of(numbers: Sequence[int]) -> str:
    """The name of a multiset of numbers: sorted, joined by hyphens."""
    return "-".join(map(str, sorted(numbers)))


def solvable_sets(*, with_large: bool) -> list[tuple[int, ...]]:
    """Sorted multisets of four numbers that reach 24, in order.

    Args:
        with_large: True for those of 1..13 with an 11, 12 or 13 (796), False for 1..10 (566).
    """
    return [
        numbers
        for numbers, formula in solution_table(TARGET).items()
        if formula is not None and (numbers[-1] > LARGEST_PLAIN) == with_large
    ]


@lru_cache(maxsize=1)
def _folds() -> Mapping[tuple[int, ...], str]:
    folds = {}
    for with_large, shares in ((False, PLAIN_SHARES), (True, FACE_SHARES)):
        ranked = sorted(
            solvable_sets(with_large=with_large),
            key=lambda numbers: sha256(cluster_of(numbers).encode()).digest(),
        )
        # Cutting the ranking gives exact shares; a threshold on the hash would give random ones.
        cuts = [round(len(ranked) * share / 100) for share in accumulate(shares.values())]
        for fold, start, end in zip(shares, [0, *cuts], cuts, strict=False):
            folds.update(dict.fromkeys(ranked[start:end], fold))
    return MappingProxyType(folds)


def fold_of(multiset: Sequence[int]) -> str:
    """The fold of a multiset of mapped numbers, in any order.

    Raises:
        ValueError: the numbers are not four of 1..13 that reach 24; such hands are in no fold.
    """
    try:
        return _folds()[tuple(sorted(multiset))]
    except KeyError:
        raise ValueError(
            f"numbers {cluster_of(multiset)}: expected four of 1..13 that reach {TARGET}"
        ) from None


def _shown_as(number: int, rule: Rule) -> list[str]:
    """The cards that stand for a number: its plain rank (1..10), any face that has its value."""
    plain = [str(number)] if 1 <= number <= LARGEST_PLAIN else []
    cards = plain + [face for face, value in zip(FACES, rule, strict=True) if value == number]
    if not cards:
        raise ValueError(f"number {number}: no card stands for it under the rule {rule}")
    return cards


def deal(multiset: Sequence[int], rule: Rule, rng: random.Random) -> tuple[str, ...]:
    """Cards in random order that map to the multiset under the rule.

    A number is shown, uniformly, by its plain rank (1..10) or by any face that has its value.

    Raises:
        ValueError: a number that no card stands for under this rule.
    """
    cards = [rng.choice(_shown_as(number, rule)) for number in multiset]
    rng.shuffle(cards)
    return tuple(cards)


def _all_deals(split: str, multiset: tuple[int, ...]) -> list[tuple[str, ...]]:
    """Every hand of a split that maps to the multiset, each once, in a fixed order."""
    rule = rule_of(split)
    hands = [
        hand
        for order in sorted(set(permutations(multiset)))
        for hand in product(*(_shown_as(number, rule) for number in order))
    ]
    if split == "id_faces":
        return [hand for hand in hands if not set(FACES).isdisjoint(hand)]
    return hands


def rule_of(split: str) -> Rule:
    """The rule that the prompts of a split state.

    Raises:
        ValueError: no such split.
    """
    require_option("split", split, SPLITS)
    return ID_RULE if split in ("id", "id_faces") else OOD_RULE


def generate(split: str, orders: int, seed: int) -> list[Problem]:
    """Every solvable multiset of a split, each dealt `orders` times.

    | split | rule | hands |
    |---|---|---|
    | id | J = Q = K = 10 | numbers 1..10, each 10 shown as 10, J, Q or K |
    | id_faces | J = Q = K = 10 | those of id with at least one face |
    | ood | J, Q, K = 11, 12, 13 | at least one face |
    | ood_plain | J, Q, K = 11, 12, 13 | no face |

    The hands of a multiset differ as long as there are others (6 6 6 6 has one). A hand depends on
    (seed, split, multiset) only, so changing one split leaves the others as they are.

    Raises:
        ValueError: no such split, or orders < 1.
    """
    rule = rule_of(split)
    if orders < 1:
        raise ValueError(f"orders {orders}: expected at least 1")
    problems = []
    for numbers in solvable_sets(with_large=split == "ood"):
        if split == "id_faces" and LARGEST_PLAIN not in numbers:
            continue
        cluster = cluster_of(numbers)
        # Seeding by a string is stable across processes and Python versions, unlike hash().
        rng = random.Random(f"{seed}/{split}/{cluster}")
        hands = _all_deals(split, numbers)
        rng.shuffle(hands)
        problems += [
            Problem(
                name=f"{split}-{cluster}-{order}",
                split=split,
                fold=fold_of(numbers),
                cards=hands[order % len(hands)],
                rule=rule,
            )
            for order in range(orders)
        ]
    return problems
