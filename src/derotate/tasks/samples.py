# SPDX-License-Identifier: MIT
"""A training text: made by tasks, read by training."""

from typing import NamedTuple


class Sample(NamedTuple):
    """A prompt and its completion; the loss is on the completion."""

    prompt: str | list[dict[str, str]]
    """A text, or chat messages: dictionaries with `role` and `content`."""
    completion: str
    ends: bool = True
    """Whether the end token follows. A truncated text has none, so it does not teach to stop."""
