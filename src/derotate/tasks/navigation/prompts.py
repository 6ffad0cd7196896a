# SPDX-License-Identifier: MIT
"""Prompts and reference responses, in two styles.

`natural` is for pretrained chat models: the information of V-IRL-L of arXiv 2501.17161 (directions,
action space, observations and actions so far; JSON out), in our own words. As there, directions
name a turn by its side and by its heading, and the heading now is left to be inferred. Unlike
there, places are told by their landmarks alone, not by intersections or the side of a landmark.

`compact` is for the tiny model with a word-level vocabulary: spaces separate all tokens.
There the directions name headings only and the last observation adds the heading now. With both
names in the directions, the OOD rule would only ask to copy the other word; so it asks to look a
side up from two headings, a skill that pretraining can teach. The history is cut to the last
`HISTORY` steps, among which there always is the last turn: it tells which leg is being walked.
"""

import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from derotate.tasks.navigation.compass import HEADINGS, SIDES, side_of
from derotate.tasks.navigation.problems import ABSOLUTE, FORWARD, RELATIVE, STOP, TURN, Problem
from derotate.tasks.navigation.routes import MOST_BLOCKS, NOTHING, START
from derotate.tasks.options import Messages, is_compact

VERSION: Final = 1
"""Raised when the same problem gives another prompt."""

HISTORY: Final = MOST_BLOCKS
"""Earlier steps that the compact style shows: as many as the longest leg has blocks."""


def compact_directions(problem: Problem) -> str:
    """E.g. `1 north cafe ; 2 east bank`: number, heading to face and end of each leg."""
    return " ; ".join(
        f"{number} {leg.heading} {leg.landmark}" for number, leg in enumerate(problem.legs, start=1)
    )


def compact_walk(problem: Problem, opening: str, history: Sequence[tuple[str, str]]) -> str:
    """The opening word, the directions, the last steps of a history, the place and heading now."""
    steps = [f"at {place} {action}" for place, action in history[-HISTORY:]]
    last = f"at {problem.here} now {problem.now}"
    return " ; ".join([opening, compact_directions(problem), *steps, last, "leg"])


def compact_prompt(problem: Problem) -> str:
    """E.g. `absolute ; 1 north cafe ; 2 east bank ; at start turn north ; at cafe now north ; leg`.

    The word that it opens with is the rule.
    """
    return compact_walk(problem, problem.rule, problem.history)


def compact_recognition(problem: Problem) -> str:
    """What the action follows from: the leg, its end, the place; for a turn the two headings.

    E.g. `1 cafe at none` or `1 cafe at cafe ; 2 now north want east`. Left out are the words that
    name an action, so that pretraining can teach this much without a rule.
    """
    leg = f"{problem.leg} {problem.goal} at {problem.here}"
    if problem.wanted is None:
        return leg
    return f"{leg} ; {problem.leg + 1} now {problem.now} want {problem.wanted}"


def compact_response(problem: Problem, action: str | None = None) -> str:
    """E.g. `1 cafe at cafe ; 2 now north want east ; turn east`; the right action by default."""
    return f"{compact_recognition(problem)} ; {problem.action if action is None else action}"


def natural_directions(problem: Problem) -> list[str]:
    """Two sentences a leg: the turn by side and heading, then how far to go."""
    sentences = []
    heading = problem.start
    for number, leg in enumerate(problem.legs, start=1):
        end = "your destination, " if number == len(problem.legs) else ""
        sentences += [
            f"Turn {side_of(heading, leg.heading)} to face {leg.heading}.",
            f"Go on until you come to {end}the {leg.landmark}.",
        ]
        heading = leg.heading
    return sentences


def natural_observation(place: str) -> str:
    """What is seen at a place, as a sentence."""
    if place == START:
        return "You stand at the start."
    return "There is no landmark." if place == NOTHING else f"You see the {place}."


def natural_action(action: str) -> str:
    """The action as the prompt writes it, e.g. `turn_direction(slightly left)`."""
    verb, _, direction = action.partition(" ")
    return f"turn_direction({direction})" if verb == TURN else f"{verb}()"


_DIRECTIONS: Final = MappingProxyType({ABSOLUTE: HEADINGS, RELATIVE: SIDES})


def natural_messages(problem: Problem) -> Messages:
    """One user turn: task, directions, action space, the walk so far, the form of the answer."""
    directions = "\n".join(
        f"{number}. {sentence}"
        for number, sentence in enumerate(natural_directions(problem), start=1)
    )
    walk = "".join(
        f"O_{step}: {natural_observation(place)}\nA_{step}: {natural_action(action)}\n"
        for step, (place, action) in enumerate(problem.history, start=1)
    )
    names = ", ".join(repr(name) for name in _DIRECTIONS[problem.rule])
    step = len(problem.places)
    content = (
        f"[Task]\n"
        f"You walk through a city by written directions. What you have observed and done so far "
        f"is listed in order. Find the direction that is due now, then choose the next action.\n\n"
        f"[Directions]\n"
        f"{directions}\n\n"
        f"[Actions]\n"
        f'"{FORWARD}()": go straight on to the next place\n'
        f'"turn_direction(x)": turn and go on to the next place, where x is one of {names}\n'
        f'"{STOP}()": you have arrived\n\n'
        f"[Observations and actions]\n"
        f"{walk}"
        f"O_{step}: {natural_observation(problem.here)}\n"
        f"A_{step}:\n\n"
        f"[Output]\n"
        f"Answer with one JSON object and nothing else:\n"
        f"{{\n"
        f'  "current observation": "the last observation",\n'
        f'  "current instruction": "the direction that is due now",\n'
        f'  "action": "one of the actions"\n'
        f"}}"
    )
    return [{"role": "user", "content": content}]


def natural_response(problem: Problem, action: str | None = None) -> str:
    """The JSON text of a right answer; another action may be given in words."""
    # A turn is the next leg's first sentence; how far to go, so where to stop, the leg's second.
    due = 2 * problem.leg - (problem.wanted is None)
    answer = {
        "current observation": natural_observation(problem.here),
        "current instruction": natural_directions(problem)[due],
        "action": natural_action(problem.action if action is None else action),
    }
    return json.dumps(answer)


def prompt(problem: Problem, style: str) -> str | Messages:
    """The prompt: a text in the compact style, chat messages in the natural style."""
    return compact_prompt(problem) if is_compact(style) else natural_messages(problem)


def response(problem: Problem, style: str) -> str:
    """The reference answer."""
    return compact_response(problem) if is_compact(style) else natural_response(problem)
