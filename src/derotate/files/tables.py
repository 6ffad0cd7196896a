# SPDX-License-Identifier: MIT
"""Tables as files whose bytes depend on their values alone."""

import os
from typing import Any

import pandas as pd

from derotate.files.atomic import atomic_write


def write(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write `table` as CSV: six significant digits, LF, an empty field where a value is missing."""
    with atomic_write(path) as part:
        table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n", encoding="utf-8")


def markdown(table: pd.DataFrame, path: str | os.PathLike[str], digits: int = 1) -> None:
    """Write `table` as a Markdown table, to be read by people: `digits` after the point.

    Numbers too small for that keep three significant digits, so that none reads as 0.
    """
    shown = table.astype(object).map(lambda value: cell(value, digits).replace("|", "\\|"))
    with atomic_write(path) as part:
        text = shown.to_markdown(index=False, disable_numparse=True)
        part.write_text(text + "\n", encoding="utf-8", newline="\n")


def cell(value: Any, digits: int) -> str:
    """A value as people read it; nothing where it is missing."""
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, float):
        small = value != 0 and abs(value) < 0.5 * 10**-digits
        return f"{value:.3g}" if small else f"{value:.{digits}f}"
    return str(value)
