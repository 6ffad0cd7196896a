# SPDX-License-Identifier: MIT
"""Which files the pages of the reference study are made from, for the rules that make them.

Imports what draws and judges only when it is asked: the workflow reads this each time it plans.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

TABLES: Final = "results/reference/tiny"
"""Where the tables of the reference study are committed, and what is derived from them."""
PICTURES: Final = "docs/figures"


def judged_tables(folder: str) -> list[str]:
    """The tables that claims are read from; those that are not there leave claims undecided."""
    from derotate.evidence.checks import rules

    paths = [f"{folder}/{name}.csv" for name in rules()]
    return [path for path in paths if Path(path).is_file()]


def drawn_tables(folder: str, figure: str) -> list[str]:
    """The tables that a figure is drawn from."""
    from derotate.stages.figures import DRAWINGS

    return [f"{folder}/{name}.csv" for name in DRAWINGS[figure][0]]


def pictures(folder: str) -> list[str]:
    """The files of all figures."""
    from derotate.stages.figures import DRAWINGS

    return [f"{folder}/{figure}.png" for figure in DRAWINGS]
