# SPDX-License-Identifier: MIT
"""Routes through a network: their directions and the places that they pass.

No two routes have the same directions up to rotation or reflection of the map, even in different
networks. So no problem is in two folds, although folds consist of networks.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from derotate.tasks.navigation.compass import HEADINGS, side_of, turn_between
from derotate.tasks.navigation.streets import Crossing, Network, networks

ROUTES: Final = 6  # of each network
LEGS: Final = (3, 4)  # two legs have too few different directions for the sample
MOST_BLOCKS: Final = 3  # of a leg; so the last turn is always among the last three steps

# Most streets meet at right angles; so weighted, the four sides are nearly equally frequent.
_WEIGHTS: Final = {"left": 1, "right": 1, "slightly left": 9, "slightly right": 9}

START: Final = "start"
NOTHING: Final = "none"
"""What is seen at the first place, and where there is no landmark."""


@dataclass(frozen=True)
class Leg:
    """Turn to face `heading`, then go on until `landmark`."""

    heading: str
    landmark: str


@dataclass(frozen=True)
class Route:
    """A way through a network; `start` is the heading before the first turn.

    `places` are what is seen where a step is taken: `START`, then a landmark or `NOTHING` after
    each block. A route has as many steps as places; the last is to stop.
    """

    start: str
    legs: tuple[Leg, ...]
    places: tuple[str, ...]

    @property
    def canonical(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The directions up to a turn or mirror: angles of the turns between legs, landmarks."""
        headings = [leg.heading for leg in self.legs]
        turns = tuple(turn_between(*pair) for pair in pairwise(headings))
        return max(turns, tuple(-turn for turn in turns)), tuple(leg.landmark for leg in self.legs)


@dataclass(frozen=True)
class _Stretch:
    """What a leg can walk: its heading and the crossings that it reaches, the last its end."""

    heading: str
    crossings: tuple[Crossing, ...]


def _legs_from(
    network: Network, crossing: Crossing, heading: str, visited: set[Crossing]
) -> dict[str, list[_Stretch]]:
    """Stretches that begin with a turn and end at a landmark, by the side of that turn."""
    found: dict[str, list[_Stretch]] = {}
    for wanted in network.exits[crossing]:
        if turn_between(heading, wanted) % 180 == 0:
            continue
        passed: tuple[Crossing, ...] = ()
        end: Crossing | None = crossing
        for _ in range(MOST_BLOCKS):
            end = network.exits[end].get(wanted) if end is not None else None
            if end is None or end in visited:
                break
            passed += (end,)
            if end in network.landmark_at:
                found.setdefault(side_of(heading, wanted), []).append(_Stretch(wanted, passed))
    return found


def _walk(network: Network, draw: random.Random) -> Route | None:
    """A random way that meets no crossing twice; None where it ran into a dead end."""
    crossing = draw.choice(tuple(network.exits))
    start = heading = draw.choice(HEADINGS)
    visited, legs, places = {crossing}, [], [START]
    for _ in range(draw.choice(LEGS)):
        options = _legs_from(network, crossing, heading, visited)
        if not options:
            return None
        (side,) = draw.choices(tuple(options), [_WEIGHTS[side] for side in options])
        stretch = draw.choice(options[side])
        heading, crossing = stretch.heading, stretch.crossings[-1]
        visited.update(stretch.crossings)
        legs.append(Leg(heading, network.landmark_at[crossing]))
        places += [network.landmark_at.get(passed, NOTHING) for passed in stretch.crossings]
    return Route(start, tuple(legs), tuple(places))


@lru_cache(maxsize=1)
def routes() -> Mapping[str, tuple[Route, ...]]:
    """Name of each network -> its `ROUTES` routes."""
    taken = set()
    found = {}
    for network in networks():
        draw = random.Random(f"routes of {network.name}")
        some: list[Route] = []
        while len(some) < ROUTES:
            route = _walk(network, draw)
            if route is not None and route.canonical not in taken:
                taken.add(route.canonical)
                some.append(route)
        found[network.name] = tuple(some)
    return MappingProxyType(found)
