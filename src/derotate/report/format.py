# SPDX-License-Identifier: MIT
"""The one formatter of numbers, intervals, p-values, shares, counts and durations for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isinf, isnan
from typing import Final

import pandas as pd

NOTHING: Final = "–"
"""A cell without a value."""
_ROUNDING: Final = 1e-6
"""Tables have six significant digits: a sum of such numbers below this is rounding error."""
_TWO_MINUTES: Final = 120.0


def number(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """A number with `digits` decimals; what would read as 0 keeps one significant digit.

    Args:
        value: None or NaN is a missing value, infinity is unbounded.
        digits: decimals.
        sign: whether a positive number has a plus sign.
    """
    if value is None or pd.isna(value):
        return NOTHING
    if isinf(value):
        return "unbounded"
    plus = "+" if sign else ""
    size = abs(value)
    if size < _ROUNDING:
        return f"{0:{plus}.{digits}f}"
    return f"{value:{plus}.1g}" if size < 0.5 * 10**-digits else f"{value:{plus}.{digits}f}"


def interval(low: float, high: float, digits: int = 1) -> str:
    """An interval in brackets, or that there is none."""
    if isnan(low) or isnan(high):
        return "(no interval)"
    if low == -inf and high == inf:
        return "[unbounded]"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def estimate(mean: float, low: float, high: float, digits: int = 1) -> str:
    """A mean with its interval."""
    return f"{number(mean, digits)} {interval(low, high, digits)}"


def p_value(value: float | None) -> str:
    """A p-value with three decimals."""
    if value is None or pd.isna(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: float | None) -> str:
    """A count."""
    return NOTHING if value is None or pd.isna(value) else str(int(value))


def percent(share: float) -> str:
    """A share as percent."""
    return f"{100 * share:.3g} %"


def plural(number: int, noun: str) -> str:
    """A count with its noun: `1 job`, `2 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration in seconds, or in minutes from two minutes on."""
    return f"{seconds:.0f} s" if seconds < _TWO_MINUTES else f"{seconds / 60:.1f} min"


def listed(items: Sequence[object]) -> str:
    """Items as an enumeration: `a`, `a and b`, `a, b and c`."""
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
