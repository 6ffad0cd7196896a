# SPDX-License-Identifier: MIT
"""A training text, as tasks make it and training reads it."""

from typing import NamedTuple


class Sample(NamedTuple):
    """A prompt and its completion; the loss is on the completion."""

    prompt: str | list[dict[str, str]]
    """A text, or a chat: dictionaries with `role` and `content`."""
    completion: str
    ends: bool = True
    """Whether the end token follows; a text cut short does not teach to stop."""
