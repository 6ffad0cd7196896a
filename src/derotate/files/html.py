# SPDX-License-Identifier: MIT
"""Tables as small HTML pages, which the Snakemake report shows where it only offers Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from derotate.files.atomic import atomic_write
from derotate.files.tables import cell

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; }
table { border-collapse: collapse; margin: 0 0 1.5em; }
th, td { padding: 0.25em 0.8em; border-bottom: 1px solid #ddd; text-align: left; }
thead th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff; }
td { font-variant-numeric: tabular-nums; }
p { max-width: 50em; }
"""


def page(title: str, parts: Sequence[str | pd.DataFrame], path: Path, digits: int = 1) -> None:
    """Write paragraphs and tables as one HTML file that needs no other.

    Args:
        title: of the page.
        parts: a string is a paragraph, a frame a table; in their order.
        path: the HTML file.
        digits: after the point of a number.
    """
    body = "\n".join(
        f"<p>{escape(part)}</p>" if isinstance(part, str) else _table(part, digits)
        for part in parts
    )
    with atomic_write(path) as part:
        part.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
            f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n",
            encoding="utf-8",
            newline="\n",
        )


def _table(table: pd.DataFrame, digits: int) -> str:
    shown = table.astype(object).map(lambda value: cell(value, digits))
    return str(shown.to_html(index=False, border=0, justify="left"))
