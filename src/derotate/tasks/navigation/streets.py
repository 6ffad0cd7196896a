# SPDX-License-Identifier: MIT
"""Seeded street networks: crossings of a small lattice, streets between them, landmarks at some.

The number of networks and the seed of each are constants. Networks are the unit of hold-out and
must not move between folds. Streets run along the eight headings, so that headings are exact
instead of rounded bearings.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from derotate.tasks.navigation.compass import HEADINGS

Crossing = tuple[int, int]
"""East and north coordinate, each 0..SIZE - 1."""
Street = tuple[Crossing, Crossing]
"""Two neighbouring crossings, the smaller first."""

NETWORKS: Final = 1000
SIZE: Final = 5
PLACED: Final = 17  # landmarks of a network; 8 of its 25 crossings have none
STRAIGHT_SHARE: Final = 0.8  # of the streets between lattice neighbours
DIAGONAL_SHARE: Final = 0.9  # of the blocks that a street cuts, one way or the other

LANDMARKS: Final = (
    "bakery", "bank", "bridge", "cafe", "chapel", "cinema", "clinic", "fountain", "gallery",
    "garage", "harbour", "hotel", "library", "market", "museum", "park", "pharmacy", "school",
    "stadium", "station", "temple", "theatre", "tower", "zoo",
)  # fmt: skip

_SHIFTS: Final = dict(
    zip(
        HEADINGS,
        ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)),
        strict=True,
    )
)
_CROSSINGS: Final = tuple((x, y) for x in range(SIZE) for y in range(SIZE))
_LAST: Final = SIZE - 1


@dataclass(frozen=True)
class Network:
    """Streets and landmarks; `landmarks` are pairs of word and crossing, both sorted."""

    name: str
    streets: tuple[Street, ...]
    landmarks: tuple[tuple[str, Crossing], ...]

    @cached_property
    def exits(self) -> Mapping[Crossing, Mapping[str, Crossing]]:
        """Crossing -> heading of each street that leaves it -> the crossing at its other end."""
        headings = {shift: heading for heading, shift in _SHIFTS.items()}
        exits: dict[Crossing, dict[str, Crossing]] = {crossing: {} for crossing in _CROSSINGS}
        for (x, y), (u, v) in self.streets:
            exits[x, y][headings[u - x, v - y]] = (u, v)
            exits[u, v][headings[x - u, y - v]] = (x, y)
        return exits

    @cached_property
    def landmark_at(self) -> Mapping[Crossing, str]:
        """Crossing -> its landmark; those without one are left out."""
        return {crossing: word for word, crossing in self.landmarks}

    @property
    def connected(self) -> bool:
        """Whether every crossing can be reached from every other."""
        found = {_CROSSINGS[0]}
        frontier = [_CROSSINGS[0]]
        while frontier:
            new = set(self.exits[frontier.pop()].values()) - found
            found |= new
            frontier += new
        return len(found) == len(_CROSSINGS)

    @property
    def canonical(self) -> str:
        """Streets and landmarks as text, equal for maps that differ by a turn or a mirror only."""

        # Landmarks alone pick the symmetry: no turn or mirror leaves 17 of 25 crossings in place.
        def shown(symmetry: int) -> list[Crossing]:
            return [_moved(crossing, symmetry) for _, crossing in self.landmarks]

        symmetry = min(range(8), key=shown)
        streets = sorted(
            sorted((_moved(a, symmetry), _moved(b, symmetry))) for a, b in self.streets
        )
        words = [word for word, _ in self.landmarks]
        return f"{words} {shown(symmetry)} {streets}"


def _moved(crossing: Crossing, symmetry: int) -> Crossing:
    """The crossing under one of the eight symmetries of the square, numbered by their bits."""
    x, y = crossing
    if symmetry & 1:
        x = _LAST - x
    if symmetry & 2:
        y = _LAST - y
    return (y, x) if symmetry & 4 else (x, y)


def _streets(draw: random.Random) -> Iterator[Street]:
    for x, y in _CROSSINGS:
        for other in ((x + 1, y), (x, y + 1)):
            if max(other) < SIZE and draw.random() < STRAIGHT_SHARE:
                yield (x, y), other
        # One diagonal a block at most: two would meet where there is no crossing.
        if max(x, y) < _LAST and draw.random() < DIAGONAL_SHARE:
            rising = draw.random() < 0.5
            yield ((x, y), (x + 1, y + 1)) if rising else ((x, y + 1), (x + 1, y))


def _network(index: int) -> Network:
    draw = random.Random(f"street network {index}")
    while True:
        words = sorted(draw.sample(LANDMARKS, PLACED))
        network = Network(
            name=f"n{index:04}",
            streets=tuple(sorted(_streets(draw))),
            landmarks=tuple(zip(words, draw.sample(_CROSSINGS, PLACED), strict=True)),
        )
        if network.connected:
            return network


@lru_cache(maxsize=1)
def networks() -> tuple[Network, ...]:
    """The declared sample: `NETWORKS` connected networks, in the order of their names."""
    return tuple(_network(index) for index in range(NETWORKS))
