# SPDX-License-Identifier: MIT
"""How every task finds the answer in a response: one rule, which the data card states.

Model output is data: a text is cut before it is read, so that no response makes a job run long.
"""

import json
import re
from collections import deque
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

END_OF_TEXT: Final = "<eos>"
MAX_RESPONSE: Final = 65_536
"""Characters that are read; a correct response has under 200, a chat model may reason before it."""
MAX_OBJECTS: Final = 64
"""Starts of a JSON object that are tried, counted from the end."""

RULE: Final = MappingProxyType(
    {
        "compact": "A response is one answer in the task's grammar, up to the end token. Text "
        "before or after it makes the response unparsable.",
        "natural": "The last complete answer counts: the last JSON object with the answer's field. "
        "So reasoning, a code fence, a corrected attempt or a remark around it changes no "
        "verdict. An answer cut off before its closing brace is not complete.",
    }
)
"""By style, in the words of the data card. Unicode signs count as their ASCII ones in both."""

Fields = dict[str, object]

# Sets in prose, such as {3, 5}, are no objects. Blanks hold no brace, so the search is linear.
_OBJECT_START: Final = re.compile(r'\{[ \t\r\n]*+"')

# A quotation mark or a backslash inside a JSON string would end or escape it.
_FULL_WIDTH: Final = {
    code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0) not in '"\\'
}
_SIGNS: Final = {
    sign: ascii_sign
    for ascii_sign, signs in {
        "*": "\u00d7\u2715\u2716\u2a2f\u2217\u00b7\u22c5\u2219",
        "/": "\u00f7\u2215\u2044",
        "-": "\u2212\u2012\u2013\u2014\ufe63",
        " ": "\u00a0\u2009\u202f",
    }.items()
    for sign in signs
}
_TO_ASCII: Final = str.maketrans(
    {**_SIGNS, **{chr(code): chr(to) for code, to in _FULL_WIDTH.items()}}
)


def ascii_signs(text: str) -> str:
    """The text with ASCII operators, digits, brackets and blanks in place of Unicode ones.

    NFKC would turn a superscript 2 into a digit, and with it 3 squared into 32.
    """
    return text.translate(_TO_ASCII)


def compact_text(response: str) -> str:
    """A compact response up to its end token, in ASCII signs; at most `MAX_RESPONSE` characters."""
    return ascii_signs(response[:MAX_RESPONSE].partition(END_OF_TEXT)[0])


def last_answer(
    response: str,
    field: str,
    fields_of: Callable[[list[tuple[str, object]]], Fields] | None = None,
) -> Fields | None:
    """The last JSON object of a response that has a field; None without one.

    An object within another one counts only if the outer one lacks the field.

    Args:
        response: of any length; its last `MAX_RESPONSE` characters are read.
        field: the key that makes an object an answer.
        fields_of: makes an object of its pairs; by default the last of equal keys counts.
    """
    text = ascii_signs(response[-MAX_RESPONSE:])
    decoder = json.JSONDecoder(object_pairs_hook=fields_of)
    found: Fields | None = None
    end = 0
    for start in _object_starts(text):
        # within the object found before
        if start < end:
            continue
        try:
            fields, after = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if field in fields:
            found, end = fields, after
    return found


def _object_starts(text: str) -> list[int]:
    """Positions of the last `MAX_OBJECTS` braces that can open an object with a field, in order."""
    starts: deque[int] = deque(maxlen=MAX_OBJECTS)
    starts.extend(match.start() for match in _OBJECT_START.finditer(text))
    return list(starts)
