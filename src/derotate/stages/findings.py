# SPDX-License-Identifier: MIT
"""The findings page and the page on reproducing, from committed tables; no torch, so quick."""

from __future__ import annotations

from pathlib import Path

from derotate.files.atomic import atomic_write
from derotate.report.findings_page import findings
from derotate.report.reproducing_page import reproducing
from derotate.report.sources import Files, read


def write_findings(files: Files) -> None:
    """Write what holds, what does not and what stayed open, as `files.page`.

    Raises:
        ValueError: a table cannot be true; one line with file, row and column.
    """
    _write(findings(read(files)), files.page)


def write_reproducing(files: Files) -> None:
    """Write what to run for each claim and what to compare, as `files.page`.

    Raises:
        ValueError: a table cannot be true; one line with file, row and column.
    """
    _write(reproducing(read(files)), files.page)


def _write(text: str, page: Path) -> None:
    with atomic_write(page) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
