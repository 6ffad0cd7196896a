# SPDX-License-Identifier: MIT
"""Numbers and tables as Markdown for people; what is missing is said, never left blank."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import inf, isinf, isnan
from pathlib import Path
from typing import Final

import pandas as pd

from derotate.files.tables import cell

NOTHING = "–"
"""A cell without a value."""
_ROUNDING: Final = 1e-6
"""Below this a number is what sums of six digits leave, and reads as 0."""


def number(value: float | None, digits: int = 1) -> str:
    """A number with `digits` after the point; what would read as 0 keeps one significant digit."""
    if value is None or pd.isna(value):
        return NOTHING
    if isinf(value):
        return "unbounded"
    size = abs(value)
    if size < _ROUNDING:
        return f"{0:.{digits}f}"
    return f"{value:.1g}" if size < 0.5 * 10**-digits else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 1) -> str:
    """An interval in brackets, or that there is none."""
    if isnan(low) or isnan(high):
        return "(no interval)"
    if low == -inf and high == inf:
        return "[unbounded]"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def p_value(value: float | None) -> str:
    """A p-value with three digits after the point."""
    if value is None or pd.isna(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def whole(value: float | None) -> str:
    """A count."""
    return NOTHING if value is None or pd.isna(value) else str(int(value))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. Not padded, so that a changed cell changes one line of the page."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def _escaped(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def frame(values: pd.DataFrame, digits: int = 3) -> str:
    """A data frame as a Markdown table, whatever columns it has."""
    shown = values.astype(object).map(lambda value: cell(value, digits) or NOTHING)
    return table([str(name).replace("_", " ") for name in values], shown.to_numpy().tolist())


def details(summary: str, body: str) -> str:
    """A part of the page that is folded away until it is clicked on."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def link(text: str, target: Path, page: Path) -> str:
    """A link from the page to a file, relative to the page's folder."""
    return f"[{text}]({os.path.relpath(target, page.parent).replace(os.sep, '/')})"


def listed(items: Sequence[object]) -> str:
    """Items in a row of words: `a`, `a and b`, `a, b and c`."""
    words = [str(item) for item in items]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sentence(text: str) -> str:
    """Text with a capital and a full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def percent(share: float) -> str:
    """A share as percent."""
    return f"{100 * share:.3g} %"


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def anchor(claim: str) -> str:
    """The name of a claim's place on the page."""
    return claim.lower()
