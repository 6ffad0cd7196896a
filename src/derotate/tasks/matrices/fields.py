# SPDX-License-Identifier: MIT
"""The answer field of a response: one whole number, read from that field only.

The released environments fall back on the first number of the text, which is often an entry of the
matrix. Here a number counts only in its field: behind the word `answer` (compact), or under the key
`answer` of the last JSON object that has it (natural). A second number in the field, a fraction or
further words make it unreadable, so that an echo of the prompt is not graded.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from derotate.tasks.options import is_compact
from derotate.tasks.responses import ascii_signs, compact_text, last_answer

ANSWER: Final = "answer"

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,6}")


@dataclass(frozen=True)
class Response:
    """The parts of a response.

    Attributes:
        answer: the number of the field; None if the field is missing or holds no whole number.
        steps: the words before the field; none in the natural style, whose form has no steps.
    """

    answer: int | None
    steps: tuple[str, ...] = ()


Kind_co = TypeVar("Kind_co", bound=StrEnum, covariant=True)


@dataclass(frozen=True)
class Verdict(Generic[Kind_co]):
    """The grade of one response; `answer` is the number of its field, None if it has none."""

    kind: Kind_co
    answer: int | None

    @property
    def correct(self) -> bool:
        """Whether the answer is the one that was asked for."""
        return self.kind == "correct"


def _integer(text: str) -> int | None:
    text = ascii_signs(text).strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def _read_compact(response: str) -> Response:
    words = compact_text(response).split()
    if ANSWER not in words:
        return Response(None, tuple(words))
    place = words.index(ANSWER)
    field = words[place + 1 :]
    return Response(_integer(field[0]) if len(field) == 1 else None, tuple(words[:place]))


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The fields of an object; all without a value if one is given twice."""
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else dict.fromkeys(fields)


def _read_natural(response: str) -> Response:
    fields = last_answer(response, ANSWER, _once_each)
    value = None if fields is None else fields.get(ANSWER)
    # True is an int in Python; str() of a very long int raises, so its size is checked first
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**6:
        return Response(value)
    return Response(_integer(value) if isinstance(value, str) else None)


def read_field(response: str, style: str = "compact") -> Response:
    """Parse a response.

    compact: `STEPS ; answer NUMBER`, up to `<eos>`. natural: the last JSON object with the
    key `answer`, a whole number of up to six digits or a text of one.

    Raises:
        ValueError: no such style.
    """
    return _read_compact(response) if is_compact(style) else _read_natural(response)
