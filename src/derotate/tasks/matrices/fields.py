# SPDX-License-Identifier: MIT
"""The answer field of a response: one whole number, read there and nowhere else.

The released environments fall back on the first number of the text, which is often an entry of the
matrix. Here a number counts only in its field: behind the word `answer` (compact), or under the key
`answer` of the first JSON object (natural). A second answer, a fraction or further words make the
field unreadable, so that neither an echo of the prompt nor a list of guesses is graded.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

END_OF_TEXT: Final = "<eos>"
ANSWER: Final = "answer"
STYLES: Final = ("compact", "natural")
# A perfect answer has under 200 characters; a chat model may think aloud before it.
MAX_RESPONSE: Final = 65_536
MAX_OBJECTS: Final = 16

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,6}")
_ASCII_MINUS: Final = str.maketrans({"\u2212": "-"})


@dataclass(frozen=True)
class Response:
    """A response taken apart.

    Attributes:
        answer: the number of the field; None if the field is missing or holds no whole number.
        steps: the words before the field; none in the natural style, whose form has no steps.
    """

    answer: int | None
    steps: tuple[str, ...] = ()


def _integer(text: str) -> int | None:
    text = text.strip().translate(_ASCII_MINUS)
    return int(text) if _INTEGER.fullmatch(text) else None


def _read_compact(response: str) -> Response:
    words = response[:MAX_RESPONSE].partition(END_OF_TEXT)[0].split()
    if ANSWER not in words:
        return Response(None, tuple(words))
    place = words.index(ANSWER)
    field = words[place + 1 :]
    return Response(_integer(field[0]) if len(field) == 1 else None, tuple(words[:place]))


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The fields of an object; none of them if one is given twice."""
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {}


def _first_object(text: str) -> dict[str, object] | None:
    decoder, start = json.JSONDecoder(object_pairs_hook=_once_each), -1
    for _ in range(MAX_OBJECTS):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _read_natural(response: str) -> Response:
    fields = _first_object(response[:MAX_RESPONSE])
    value = None if fields is None else fields.get(ANSWER)
    # True is an int in Python; str() of a long int raises, so its size is looked at first
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**6:
        return Response(value)
    return Response(_integer(value) if isinstance(value, str) else None)


def read_field(response: str, style: str) -> Response:
    """Take a response apart.

    compact: `STEPS ; answer NUMBER`, up to `<eos>`. natural: the first JSON object, its key
    `answer`, a whole number of up to six digits or a text of one.

    Raises:
        ValueError: no such style.
    """
    if style not in STYLES:
        raise ValueError(f"style {style!r}: expected one of {', '.join(STYLES)}")
    return _read_compact(response) if style == "compact" else _read_natural(response)
