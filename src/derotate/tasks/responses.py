# SPDX-License-Identifier: MIT
"""Limits and JSON of model responses.

Model output is data: a text is cut before it is read, so that no response makes a job run long.
"""

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Final

END_OF_TEXT: Final = "<eos>"
MAX_RESPONSE: Final = 65_536
"""Characters that are read; a correct response has under 200, a chat model may reason before it."""
MAX_OBJECTS: Final = 16
"""Opening braces at which a JSON object is tried."""

Fields = dict[str, object]


def first_object(
    text: str, fields_of: Callable[[list[tuple[str, object]]], Fields] | None = None
) -> Fields | None:
    """The first JSON object that begins at one of the first `MAX_OBJECTS` braces; None without one.

    Args:
        text: of at most `MAX_RESPONSE` characters.
        fields_of: makes an object of its pairs; by default the last of equal keys counts.
    """
    decoder = json.JSONDecoder(object_pairs_hook=fields_of)
    for brace in islice(re.finditer(r"\{", text), MAX_OBJECTS):
        try:
            found: Fields = decoder.raw_decode(text, brace.start())[0]
        except (ValueError, RecursionError):
            continue
        return found
    return None
