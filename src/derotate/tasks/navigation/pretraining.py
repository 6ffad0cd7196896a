# SPDX-License-Identifier: MIT
"""Pretraining texts of the tiny base: the skills of following directions, without the actions.

A pretrained language model can follow a list and tell left from right before it is fine-tuned. The
tiny base learns the same from texts of five kinds (`defaults.MIXTURE`), whose shares are config and
part of the data card:

- `tracking` teaches the hard part: which leg is being walked, whether its end is reached, and which
  two headings a turn is between. The prompt opens with a word of its own, and its history says that
  a turn was made but not which one. It is cut before the action. So it serves both rules and shows
  neither: what either split solves at first comes from this one skill.
- `sides` teaches the OOD rule as a fact about two headings, without a walk. Up to six questions
  follow one another, so that the model finds the word for the rule at any distance. The OOD split
  needs this skill beside tracking, and fine-tuning can make the model forget it. Most questions
  face north.
- `headings` does the same for the ID rule. A larger share leaves SFT less to learn at the word
  after `turn`, so SFT changes `sides` less: this share sets the speed of forgetting. Near 0, SFT
  must learn that word anew, and may learn it for both rules at once.
- `whole_absolute` and `whole_relative` are complete problems, a trace that teaches the answer
  format. They set the base's own ID and OOD accuracy. With 15 texts of `whole_relative` the base
  starts at the floor, and SFT combines tracking and sides. With 190 it starts at 85 %, and SFT only
  lowers that.

Routes come from the fold `trace`, those of `tracking` also from `train`. The base sees no route
that RL trains on, that landmarks are selected on, or that tables report.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from derotate.tasks.mixture import Maker, draw_mixture
from derotate.tasks.navigation.compass import HEADINGS, side_of, turn_between
from derotate.tasks.navigation.problems import ABSOLUTE, FORWARD, RELATIVE, STOP, TURN, Problem
from derotate.tasks.navigation.prompts import (
    compact_prompt,
    compact_recognition,
    compact_response,
    compact_walk,
)
from derotate.tasks.navigation.routes import LEGS, NOTHING, START
from derotate.tasks.navigation.streams import steps
from derotate.tasks.navigation.streets import LANDMARKS
from derotate.tasks.samples import Sample

OPENING: Final = "walk"
"""The word before a walk whose prompt states no rule."""
MOST_QUESTIONS: Final = 6  # together about as long as a complete problem

WORDS: Final[tuple[str, ...]] = (
    *(str(number) for number in range(max(LEGS) + 1)),
    ";",
    *HEADINGS,
    *("left", "right", "slightly"),
    *LANDMARKS,
    *(START, NOTHING),
    *(ABSOLUTE, RELATIVE, OPENING),
    *("leg", "at", "now", "want"),
    *(TURN, FORWARD, STOP),
    *("wrong", "place", "action", "unreadable"),
)
"""The words of the compact language, in the order of their token ids."""

_TURNS: Final = tuple(
    (now, wanted) for now in HEADINGS for wanted in HEADINGS if turn_between(now, wanted) % 180 != 0
)
# As on a map, most questions face north. If all turns were equally frequent, neither heading alone
# would predict the side, and a small model takes long to learn anything of such a table.
_FREQUENCIES: Final = tuple(8 if now == "north" else 1 for now, _ in _TURNS)


class _Tracking:
    """A walk without a rule, cut before the action, so that it teaches no action."""

    def __init__(self) -> None:
        self._steps = [*steps("train", "id"), *steps("trace", "id")]

    def __call__(self, draw: random.Random) -> Sample:
        problem = draw.choice(self._steps)
        history = [(place, action.split()[0]) for place, action in problem.history]
        walk = compact_walk(problem, OPENING, history)
        return Sample("", f"{walk} {compact_recognition(problem)}", ends=False)


class _Whole:
    """A complete problem of the splits, from the fold `trace`."""

    def __init__(self, *splits: str) -> None:
        self._steps: list[Problem] = steps("trace", *splits)

    def __call__(self, draw: random.Random) -> Sample:
        problem = draw.choice(self._steps)
        return Sample("", f"{compact_prompt(problem)} {compact_response(problem)}")


def _sides(draw: random.Random) -> Sample:
    return _questions(draw, RELATIVE, side_of)


def _headings(draw: random.Random) -> Sample:
    return _questions(draw, ABSOLUTE, lambda _, wanted: wanted)


def _questions(draw: random.Random, rule: str, named: Callable[[str, str], str]) -> Sample:
    """E.g. `relative ; now east want south ; turn right ; now west want north ; turn right`."""
    turns = draw.choices(_TURNS, _FREQUENCIES, k=draw.randint(1, MOST_QUESTIONS))
    lines = [f"now {now} want {wanted} ; {TURN} {named(now, wanted)}" for now, wanted in turns]
    return Sample("", " ; ".join([rule, *lines]), ends=False)


_MAKERS: Final[Mapping[str, Callable[[], Maker]]] = MappingProxyType(
    {
        "tracking": _Tracking,
        "sides": lambda: _sides,
        "headings": lambda: _headings,
        "whole_absolute": lambda: _Whole("id"),
        "whole_relative": lambda: _Whole("ood", "ood_straight"),
    }
)
"""Kind -> its maker; those that list all problems first do so only if they are used."""


def samples(shares: Sequence[tuple[str, float]], seed: int, count: int) -> Iterator[Sample]:
    """`count` texts of the mixture without a prompt, see `mixture.draw_mixture`."""
    return draw_mixture(_MAKERS, shares, seed, count)
