# SPDX-License-Identifier: MIT
"""Read and grade what a model wrote.

As in the released environment only the action decides; the rest of a response is only recorded.
Model output is data: an answer is looked up in a table of actions, never evaluated, and a text
is cut before it is read, so that none makes this run long.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from derotate.tasks.navigation.compass import HEADINGS, SIDES
from derotate.tasks.navigation.problems import ABSOLUTE, FORWARD, RELATIVE, STOP, TURN, Problem
from derotate.tasks.navigation.routes import NOTHING, START
from derotate.tasks.navigation.streets import LANDMARKS
from derotate.tasks.options import is_compact
from derotate.tasks.responses import ascii_signs, compact_text, last_answer

VERSION: Final = 3
"""Raised when the same response gets another verdict."""

TURNS: Final = MappingProxyType(
    {
        ABSOLUTE: tuple(f"{TURN} {heading}" for heading in HEADINGS),
        RELATIVE: tuple(f"{TURN} {side}" for side in SIDES),
    }
)
"""The turns that each rule allows."""

_ACTIONS: Final = frozenset((FORWARD, STOP, *TURNS[ABSOLUTE], *TURNS[RELATIVE]))
_PLACES: Final = frozenset((*LANDMARKS, START, NOTHING))
_NUMBER: Final = re.compile(r"[0-9]{1,2}")
_CALL: Final = re.compile(r"\s*(?:(forward|stop)\s*\(\s*\)|turn_direction\s*\(([^()]{1,40})\))\s*")
_NAMED_PLACE: Final = re.compile(rf"\b(?:(no) landmark|{'|'.join((*LANDMARKS, START))})\b")


class ErrorKind(StrEnum):
    """The kind of a response: the first that applies, in the order of `grade`."""

    CORRECT = "correct"
    UNPARSABLE = "unparsable"
    ID_RULE_APPLIED = "id_rule_applied"
    OUTSIDE_ACTIONS = "outside_actions"
    WRONG_TURN = "wrong_turn"
    WRONG_MOVE = "wrong_move"


@dataclass(frozen=True)
class Answer:
    """The parts of a response: its action in words, and the place that it reports.

    Each is None if the response does not have the form of its style, or names no known action or
    place.
    """

    action: str | None
    seen: str | None


@dataclass(frozen=True)
class Verdict:
    """The grade of one response, with its parts."""

    kind: ErrorKind
    action: str | None
    seen: str | None

    @property
    def correct(self) -> bool:
        """Whether the action is correct under the problem's rule."""
        return self.kind is ErrorKind.CORRECT


def _seen_in_compact(field: str) -> str | None:
    """The place of `1 cafe at none`; None where the field has another form."""
    words = field.split(maxsplit=4)
    if len(words) != 4 or not _NUMBER.fullmatch(words[0]) or words[2] != "at":
        return None
    return words[3] if {words[1], words[3]} <= _PLACES else None


def _is_comparison(field: str) -> bool:
    """Whether a field reads like `2 now north want east`."""
    words = field.split(maxsplit=5)
    return (
        len(words) == 5
        and _NUMBER.fullmatch(words[0]) is not None
        and words[1::2] == ["now", "want"]
        and {words[2], words[4]} <= set(HEADINGS)
    )


def _read_compact(response: str) -> Answer:
    fields = compact_text(response).split(";", maxsplit=3)
    seen = _seen_in_compact(fields[0])
    if seen is None or not (len(fields) == 2 or (len(fields) == 3 and _is_comparison(fields[1]))):
        return Answer(None, seen)
    action = " ".join(fields[-1].split())
    return Answer(action if action in _ACTIONS else None, seen)


def _called(text: object) -> str | None:
    """The action of a text like `turn_direction(left)`, in words."""
    match = _CALL.fullmatch(ascii_signs(text)) if isinstance(text, str) else None
    if match is None:
        return None
    direction = (match[2] or "").strip(" '\"")
    action = match[1] or f"{TURN} {direction}"
    return action if action in _ACTIONS else None


def _seen_in_words(text: object) -> str | None:
    """The one place that a sentence names; None for none or several."""
    if not isinstance(text, str):
        return None
    named = {NOTHING if match[1] else match[0] for match in _NAMED_PLACE.finditer(text.casefold())}
    return named.pop() if len(named) == 1 else None


def _read_natural(response: str) -> Answer:
    fields = last_answer(response, "action") or {}
    return Answer(_called(fields.get("action")), _seen_in_words(fields.get("current observation")))


def read(response: str, style: str = "compact") -> Answer:
    """Parse a response.

    compact: `LEG PLACE at PLACE ; ACTION`, up to `<eos>`; between the two may stand
    `LEG now HEADING want HEADING ;`.
    natural: the last JSON object with `action`, its fields `action` and `current observation`.

    Raises:
        ValueError: no such style.
    """
    return _read_compact(response) if is_compact(style) else _read_natural(response)


def grade(problem: Problem, response: str, style: str = "compact") -> Verdict:
    """Grade a response by its action only.

    unparsable: not the form of the style, or no action. Otherwise id_rule_applied: a turn by
    compass under the relative rule; outside_actions: a turn by side under the absolute rule.
    Otherwise wrong_turn: another turn is correct; wrong_move: forward, turn and stop confused.

    Raises:
        ValueError: no such style.
    """
    answer = read(response, style)
    return Verdict(_kind(problem, answer.action), answer.action, answer.seen)


def _kind(problem: Problem, action: str | None) -> ErrorKind:
    if action is None:
        return ErrorKind.UNPARSABLE
    if action == problem.action:
        return ErrorKind.CORRECT
    if problem.rule == RELATIVE and action in TURNS[ABSOLUTE]:
        return ErrorKind.ID_RULE_APPLIED
    if problem.rule == ABSOLUTE and action in TURNS[RELATIVE]:
        return ErrorKind.OUTSIDE_ACTIONS
    if problem.wanted is not None and action in TURNS[problem.rule]:
        return ErrorKind.WRONG_TURN
    return ErrorKind.WRONG_MOVE
