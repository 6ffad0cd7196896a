# SPDX-License-Identifier: MIT
"""Argument types shared by all tasks: a style, a chat, one of several options."""

from collections.abc import Collection
from typing import Final

Messages = list[dict[str, str]]
"""A chat: dictionaries with `role` and `content`."""

STYLES: Final = ("compact", "natural")
"""Of prompts and responses: words of the tiny model, or the language of pretrained chat models."""


def require_option(name: str, value: str, options: Collection[str]) -> None:
    """Refuse a value that is none of the options.

    Raises:
        ValueError: one line with the name, the value and the options.
    """
    if value not in options:
        raise ValueError(f"{name} {value!r}: expected one of {', '.join(options)}")


def is_compact(style: str) -> bool:
    """Whether the style is compact; else it is natural.

    Raises:
        ValueError: no such style.
    """
    require_option("style", style, STYLES)
    return style == "compact"
