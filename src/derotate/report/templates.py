# SPDX-License-Identifier: MIT
"""Pages from Jinja2 templates: prose stands in `*.md.j2` beside this module.

A name that is missing from the context is an error (StrictUndefined).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from derotate.report import format as text
from derotate.report.estimates import change
from derotate.report.markdown import anchor, escaped

_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # Markdown, not HTML
)
_ENVIRONMENT.filters |= {
    "anchor": anchor,
    "cell": escaped,
    "change": change,
    "listed": text.listed,
    "number": text.number,
    "percent": text.percent,
    "plural": text.plural,
    "sentence": text.sentence,
    "one_line": lambda value: " ".join(str(value).split()),
}


def render(template: str, context: dict[str, Any]) -> str:
    """A page as Markdown, with one blank line between blocks."""
    page = _ENVIRONMENT.get_template(template).render(context)
    # A block that is left out leaves its blank lines and its indentation.
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", page)).strip() + "\n"
