# SPDX-License-Identifier: MIT
"""Table and figure of the phase diagram, from the evaluations of its runs. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from derotate.analysis.phase_diagram import phase
from derotate.analysis.table_schemas.derived import PHASE
from derotate.analysis.table_schemas.reading import read_table
from derotate.figures import phase_diagram as figures_phase
from derotate.figures.style import save
from derotate.files.atomic import atomic_write
from derotate.files.tables import write


def write_phase(
    evaluations: Mapping[Path, Mapping[str, Any]], origin: Mapping[str, Any], out: Path
) -> None:
    """Write the table of the phase diagram and, beside it, its record `<stem>_origin.json`.

    Args:
        evaluations: file -> its run and step (see `derotate.study.phase_paths.evaluations`).
        origin: config, seeds and digests.
        out: the table, as CSV.
    """
    parts = [pd.read_parquet(path).assign(**cell) for path, cell in evaluations.items()]
    rows = pd.concat([part.astype({"seed": "Int64", "learning_rate": float}) for part in parts])
    write(phase(rows), out)
    with atomic_write(out.with_name(f"{out.stem}_origin.json")) as part:
        part.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


def draw_phase(table: Path, stem: Path) -> None:
    """The phase diagram from its table as PNG and PDF; raises as `drawn`."""
    save(drawn(table), stem)


def drawn(table: Path) -> Figure:
    """The phase diagram from its table, made by a run or cached.

    Raises:
        ValueError: a column is missing, a run occurs twice or a value is out of its range; one line
            with file, row and column.
    """
    return figures_phase.phase(read_table(table, PHASE, complete=True))
