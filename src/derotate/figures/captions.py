# SPDX-License-Identifier: MIT
"""Captions of figures and tables: `workflow/report/*.rst`, one file each.

A file opens with a comment in Jinja2 (`{# ... #}`) that holds YAML: the rule that makes the item,
its category and title in Snakemake's report, and for a figure its caption on the findings page. The
text below is the caption in Snakemake's report, which renders it with Jinja2. Snakemake imports
this module whenever it plans, so it imports neither pandas nor matplotlib.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

INTRODUCTION: Final = "workflow"
"""The text that opens Snakemake's report; it is no caption."""
_HEADER: Final = re.compile(r"\{#(.*?)#\}", re.DOTALL)


class Caption(BaseModel):
    """What the header of a caption says.

    Attributes:
        rule: that makes the item.
        category: of Snakemake's report.
        title: what the item shows, in a few words.
        summary: the caption on the findings page, one sentence or two; empty for a table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str = Field(min_length=1)
    category: str = Field(min_length=1)
    title: str = Field(min_length=1)
    summary: str = Field(default="", pattern=r"^$|\.$")


def load_captions(folder: Path) -> dict[str, Caption]:
    """The headers of all captions in a folder, by the name of their file.

    Raises:
        ValueError: no header, or one with other keys; one line that names file and key.
    """
    return {
        path.stem: _caption(path)
        for path in sorted(folder.glob("*.rst"))
        if path.stem != INTRODUCTION
    }


def _caption(path: Path) -> Caption:
    header = _HEADER.match(path.read_text(encoding="utf-8"))
    try:
        return Caption.model_validate(yaml.safe_load(header[1]) if header else {})
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path}: its header is not YAML ({line})") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path}: {key or 'header'}: {first['msg']}; "
            "expected {# rule: ..., category: ..., title: ..., summary: ... #} at the top"
        ) from None
