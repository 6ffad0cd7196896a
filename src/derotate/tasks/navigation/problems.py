# SPDX-License-Identifier: MIT
"""Single steps of routes, the rules that name turns, and the folds of networks.

A problem is one step of a route, with the correct previous steps as history. An episode of the
released environment is a complete route. It ends when the attempts at a step are used up, and only
correct actions enter its history. So a rollout poses exactly these problems until it ends, and a
route succeeds if all of its steps do: `derotate.tasks.navigation.success` computes this from the
verdicts.

The unit of hold-out and of error bars (`cluster`) is the network, not the route: routes of a
network share streets and landmarks, steps of a route share its directions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import accumulate, pairwise
from random import Random
from types import MappingProxyType
from typing import Final

from derotate.tasks.navigation.compass import DEGREES, side_of
from derotate.tasks.navigation.routes import MOST_BLOCKS, NOTHING, ROUTES, START, Leg, Route, routes
from derotate.tasks.navigation.streets import LANDMARKS, networks
from derotate.tasks.options import require_option

VERSION: Final = 1
"""Raised when the same arguments of `generate` give other problems."""

ABSOLUTE: Final = "absolute"
RELATIVE: Final = "relative"
"""The rules: a turn is named by the heading to face (ID), or by the side to turn to (OOD)."""
FORWARD: Final = "forward"
STOP: Final = "stop"
TURN: Final = "turn"

SPLITS: Final = ("id", "ood", "id_turns", "ood_straight")
FOLDS: Final = ("train", "rl", "trace", "selection", "test")
SHARES: Final = MappingProxyType({"train": 50, "rl": 20, "trace": 5, "selection": 10, "test": 15})
"""Networks of each fold in percent, whatever the split."""

CHANCE: Final = MappingProxyType({"id": 0.26, "ood": 0.28, "id_turns": 0.18, "ood_straight": 0.61})
"""What answering every problem of a split with its most frequent action scores, rounded up."""

_PLACES: Final = frozenset((*LANDMARKS, NOTHING))


@dataclass(frozen=True)
class Problem:
    """One step: which action is right at the last of `places`?

    `start` is the heading before the first turn, `places` what was seen from the start to here.

    Raises:
        ValueError: a split, heading or place that there is none of, a turn straight on or back, or
            places that do not follow the directions.
    """

    name: str
    split: str
    fold: str
    network: str
    start: str
    legs: tuple[Leg, ...]
    places: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is no step of a route."""
        rule_of(self.split)
        headings = [self.start, *(leg.heading for leg in self.legs)]
        for heading in headings:
            require_option("heading", heading, DEGREES)
        for now, wanted in pairwise(headings):
            side_of(now, wanted)
        for place in (*self.goals[1:], *self.places[1:]):
            if place not in _PLACES:
                raise ValueError(f"place {place!r}: expected a landmark or {NOTHING!r}")
        if not self.legs or len({*self.goals, NOTHING}) < len(self.legs) + 2:
            raise ValueError(f"legs {self.legs}: expected at least one, each to its own landmark")
        if self.places[:1] != (START,) or self.goals[-1] in self.places[:-1]:
            raise ValueError(
                f"places {self.places}: expected {START!r} first, and {self.goals[-1]!r}, where "
                "the last leg ends, nowhere but at the end"
            )
        blocks = 0
        for place, turns in zip(self.places, self.turns_before, strict=True):
            blocks = 0 if place == self.goals[turns] else blocks + 1
            if blocks == MOST_BLOCKS:
                raise ValueError(
                    f"places {self.places}: expected {self.goals[turns]!r}, where leg {turns} "
                    f"ends, after at most {MOST_BLOCKS} blocks"
                )

    @property
    def goals(self) -> tuple[str, ...]:
        """Where each leg ends, by its number; leg 0 is the start itself."""
        return (START, *(leg.landmark for leg in self.legs))

    @property
    def cluster(self) -> str:
        """The network: the unit of hold-out and of error bars."""
        return self.network

    @property
    def rule(self) -> str:
        """`ABSOLUTE` or `RELATIVE`."""
        return rule_of(self.split)

    @cached_property
    def turns_before(self) -> tuple[int, ...]:
        """How many turns were made before each place: the number of the leg that led there."""
        goals = self.goals
        counts = [0]
        for place in self.places[:-1]:
            counts.append(counts[-1] + (place == goals[counts[-1]]))
        return tuple(counts)

    @property
    def here(self) -> str:
        """What is seen now."""
        return self.places[-1]

    @property
    def leg(self) -> int:
        """Number of the leg that is being walked, from 1; 0 before the first turn."""
        return self.turns_before[-1]

    @property
    def goal(self) -> str:
        """Where that leg ends."""
        return self.goals[self.leg]

    @property
    def now(self) -> str:
        """The heading now."""
        return self._heading(self.leg)

    def _heading(self, turns: int) -> str:
        return self.legs[turns - 1].heading if turns else self.start

    @property
    def wanted(self) -> str | None:
        """The heading to turn to; None where no turn is due."""
        if self.here != self.goal or self.leg == len(self.legs):
            return None
        return self.legs[self.leg].heading

    @property
    def action(self) -> str:
        """The right action: `forward`, `stop` or `turn ...`, in words."""
        return self._action(len(self.places) - 1)

    @property
    def history(self) -> tuple[tuple[str, str], ...]:
        """Place and action of each step before this one."""
        return tuple((place, self._action(i)) for i, place in enumerate(self.places[:-1]))

    def _action(self, step: int) -> str:
        turns = self.turns_before[step]
        if self.places[step] != self.goals[turns]:
            return FORWARD
        if turns == len(self.legs):
            return STOP
        wanted = self.legs[turns].heading
        named = wanted if self.rule == ABSOLUTE else side_of(self._heading(turns), wanted)
        return f"{TURN} {named}"

    def to_row(self) -> dict[str, str]:
        """The problem as a flat row for CSV; `from_row` reads it back."""
        return {
            "name": self.name,
            "split": self.split,
            "fold": self.fold,
            "network": self.network,
            "start": self.start,
            "legs": ", ".join(f"{leg.heading} {leg.landmark}" for leg in self.legs),
            "places": " ".join(self.places),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Problem":
        """Read a row of `to_row`; other columns are ignored.

        Raises:
            ValueError: what is no step of a route, or legs that are not pairs of words.
            KeyError: a column is missing.
        """
        pairs = [leg.split() for leg in row["legs"].split(",")]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"legs {row['legs']!r}: expected pairs like 'north cafe, east bank'")
        return cls(
            name=row["name"],
            split=row["split"],
            fold=row["fold"],
            network=row["network"],
            start=row["start"],
            legs=tuple(Leg(heading, landmark) for heading, landmark in pairs),
            places=tuple(row["places"].split()),
        )


def rule_of(split: str) -> str:
    """The rule that the prompts of a split state.

    Raises:
        ValueError: no such split.
    """
    require_option("split", split, SPLITS)
    return ABSOLUTE if split in ("id", "id_turns") else RELATIVE


@lru_cache(maxsize=1)
def _folds() -> Mapping[str, str]:
    ranked = sorted(networks(), key=lambda network: sha256(network.canonical.encode()).digest())
    # Cutting the ranking gives exact shares; a threshold on the hash would give random ones.
    cuts = [len(ranked) * share // 100 for share in accumulate(SHARES.values())]
    return MappingProxyType(
        {
            network.name: fold
            for fold, start, end in zip(SHARES, [0, *cuts], cuts, strict=False)
            for network in ranked[start:end]
        }
    )


def fold_of(network: str) -> str:
    """The fold of a network, by the hash of its map; turned or mirrored it would be the same.

    Raises:
        ValueError: no network of the sample has that name.
    """
    try:
        return _folds()[network]
    except KeyError:
        raise ValueError(
            f"network {network!r}: expected one of {', '.join(sorted(_folds())[:2])}, ..."
        ) from None


def steps_of(split: str, network: str, number: int) -> list[Problem]:
    """The problems that a split takes from a route, in the order of its steps.

    | split | rule | steps |
    |---|---|---|
    | id | absolute | all |
    | id_turns | absolute | those where a turn is due |
    | ood | relative | those where a turn is due: there the rules differ |
    | ood_straight | relative | the others, where both rules ask for the same |

    `ood` leaves the others out since a model that ignores the rule is right there too: with them a
    pure ID habit would score 42 %.

    A name like `ood-n0017-3-4of7` gives split, network, route and step.

    Raises:
        ValueError: no such split or network.
        IndexError: no such route.
    """
    fold, route = fold_of(network), routes()[network][number]
    steps = [_step(split, fold, network, number, route, step) for step in range(len(route.places))]
    if split == "id":
        return steps
    straight = split == "ood_straight"
    return [problem for problem in steps if (problem.wanted is None) == straight]


def _step(split: str, fold: str, network: str, number: int, route: Route, step: int) -> Problem:
    return Problem(
        name=f"{split}-{network}-{number}-{step + 1}of{len(route.places)}",
        split=split,
        fold=fold,
        network=network,
        start=route.start,
        legs=route.legs,
        places=route.places[: step + 1],
    )


def generate(split: str, orders: int, seed: int) -> list[Problem]:
    """The steps of `orders` routes of every network.

    Which routes depends on (seed, network) alone: the splits ask the same ones, so that they can be
    paired and that the two OOD splits together hold whole routes.

    Raises:
        ValueError: no such split, or a number of routes that networks do not have.
    """
    rule_of(split)
    if not 1 <= orders <= ROUTES:
        raise ValueError(f"orders {orders}: expected 1 to {ROUTES}, the routes of a network")
    return [
        problem
        for network in networks()
        for number in Random(f"{seed}/{network.name}").sample(range(ROUTES), ROUTES)[:orders]
        for problem in steps_of(split, network.name, number)
    ]
