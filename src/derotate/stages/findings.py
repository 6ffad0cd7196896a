# SPDX-License-Identifier: MIT
"""The findings page and the page on reproducing, from committed tables; no torch, so quick."""

from __future__ import annotations

from derotate.files.atomic import atomic_write_text
from derotate.report.findings_page import findings
from derotate.report.reproducing_page import reproducing
from derotate.report.sources import Files, read


def write_findings(files: Files) -> None:
    """Write the results, claim by claim, as `files.page`.

    Raises:
        ValueError: a table with impossible values; one line with file, row and column.
    """
    atomic_write_text(files.page, findings(read(files)))


def write_reproducing(files: Files) -> None:
    """Write how to reproduce each number, and within which tolerance, as `files.page`.

    Raises:
        ValueError: a table with impossible values; one line with file, row and column.
    """
    atomic_write_text(files.page, reproducing(read(files)))
