# SPDX-License-Identifier: MIT
"""The input files of the reference study's pages, for the rules that make them.

Snakemake imports this whenever it plans, so it imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

TABLES: Final = "results/reference/tiny"
"""Where the tables of the reference study are committed, and what is derived from them."""
TASK: Final = "general_points"
"""The task of that study."""
PAPERS: Final = "results/published"
REEXAMINATION: Final = "results/reference/reexamination"
PICTURES: Final = "docs/figures"


def other_tasks() -> dict[str, str]:
    """The reference studies of other tasks, by task: folders of their tables, `TABLES-TASK`."""
    own = Path(TABLES)
    found = sorted(own.parent.glob(f"{own.name}-*/landmarks.csv"))
    return {path.parent.name.removeprefix(f"{own.name}-"): str(path.parent) for path in found}


def figures(own: Iterable[str]) -> list[str]:
    """A study's own figures and those beside it that can be drawn.

    The released spectra are of no study; the phase diagram has a table if it was made, and so have
    other tasks.
    """
    phase = ["phase"] if Path(TABLES, "phase.csv").is_file() else []
    return [*own, "reexamination", *phase, *(["tasks"] if other_tasks() else [])]


def pictures(own: Iterable[str]) -> list[str]:
    """The files of a study's figures, and of those beside it."""
    return [f"{PICTURES}/{figure}.png" for figure in figures(own)]
