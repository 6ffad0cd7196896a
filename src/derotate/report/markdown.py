# SPDX-License-Identifier: MIT
"""Tables, links and anchors in Markdown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from derotate.files.tables import cell
from derotate.report.format import NOTHING


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. Not padded, so that a changed cell changes one line of the page."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(escaped, line))} |" for line in lines)


def escaped(value: object) -> str:
    """A value as one cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def frame(values: pd.DataFrame, digits: int = 3) -> str:
    """A data frame as a Markdown table, whatever columns it has."""
    shown = values.astype(object).map(lambda value: cell(value, digits) or NOTHING)
    return table([str(name).replace("_", " ") for name in values], shown.to_numpy().tolist())


def link(text: str, target: Path, page: Path) -> str:
    """A link from the page to a file, relative to the page's folder."""
    return f"[{text}]({relative(target, page)})"


def relative(target: Path, page: Path) -> str:
    """Path of a file as seen from the page's folder, with forward slashes."""
    return os.path.relpath(target, page.parent).replace(os.sep, "/")


def anchor(claim: str) -> str:
    """Anchor of a claim on the page."""
    return claim.lower()
