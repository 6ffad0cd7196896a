# SPDX-License-Identifier: MIT
"""Eight headings, and the side that one lies on as seen from another.

Differences are wrapped to (-180, 180] before a side is read off them. The released environment does
not wrap (navigation_environment.py of LeslieTrue/SFTvsRL): from 350 to 10 degrees it says left.
"""

from types import MappingProxyType
from typing import Final

HEADINGS: Final = (
    "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
)  # fmt: skip
"""Clockwise, 45 degrees apart."""

SIDES: Final = ("left", "right", "slightly left", "slightly right")
SLIGHT: Final = 45  # degrees; a turn of more is a full left or right, as in the released code

DEGREES: Final = MappingProxyType({heading: 45 * i for i, heading in enumerate(HEADINGS)})


def wrapped(degrees: int) -> int:
    """The same angle in (-180, 180], clockwise positive."""
    return (degrees + 179) % 360 - 179


def turn_between(now: str, wanted: str) -> int:
    """Degrees from one heading to another, in (-180, 180], clockwise positive.

    Raises:
        KeyError: not a heading.
    """
    return wrapped(DEGREES[wanted] - DEGREES[now])


def side_of(now: str, wanted: str) -> str:
    """The side to turn to: slightly up to 45 degrees, else left or right.

    Raises:
        ValueError: straight on or straight back, which are on no side.
        KeyError: not a heading.
    """
    degrees = turn_between(now, wanted)
    if degrees % 180 == 0:
        raise ValueError(f"from {now} to {wanted}: on no side, expected neither 0 nor 180 degrees")
    side = "left" if degrees < 0 else "right"
    return f"slightly {side}" if abs(degrees) <= SLIGHT else side
