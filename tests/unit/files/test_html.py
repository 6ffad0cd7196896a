# SPDX-License-Identifier: MIT
"""Tables as HTML pages."""

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from derotate.files.html import page


def test_a_page_shows_its_tables_and_treats_text_as_text(tmp_path: Path) -> None:
    table = pd.DataFrame({"a|b": ["<script>", None], "points": [1.26, float("nan")]})
    page("A & B", ["n < 3", table], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "<h1>A &amp; B</h1>" in text and "<p>n &lt; 3</p>" in text
    body = ElementTree.fromstring(text[text.index("<table") : text.index("</table>") + 8])
    assert [cell.text for cell in body.iter("td")] == ["<script>", "1.3", None, None]
    assert "http" not in text, "a page must not ask for anything beyond itself"
