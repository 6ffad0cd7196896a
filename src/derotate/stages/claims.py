# SPDX-License-Identifier: MIT
"""Verdicts on the claims, from the tables of a study alone: quick, and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from derotate.analysis.table_schemas.reading import read_tables
from derotate.claims import schema as claims
from derotate.claims import verdicts
from derotate.files.html import page
from derotate.files.tables import markdown, write

CLAIMS = Path(claims.__file__).with_name("claims.yaml")
"""The claims as they were stated before the reference run."""

SHOWN = ["claim", "title", "primary", "verdict", "effect", "low", "high", "runs", "reason"]


NONE: Mapping[str, Path] = MappingProxyType({})


def write_claims(tables: Path, folder: Path, others: Mapping[str, Path] = NONE) -> pd.DataFrame:
    """Test every claim on the tables of a folder.

    Args:
        tables: folder with the CSV tables of a study, made by a run or cached.
        folder: where `claims.csv` (one row per claim) and `claim_parts.csv` go.
        others: folders with the tables of the studies of other tasks, by task.

    Returns:
        The table of `claims.csv`.

    Raises:
        ValueError: a table with impossible values; one line with file, row and column.
    """
    stated, own = claims.load_claims(CLAIMS), read_tables(tables)
    of_tasks = {task: read_tables(path) for task, path in others.items()}
    table = verdicts.verdicts(stated, own, of_tasks)
    write(table, folder / "claims.csv")
    write(verdicts.parts_table(stated, own, of_tasks), folder / "claim_parts.csv")
    return table


def write_verdicts(tables: Path, folder: Path, others: Mapping[str, Path] = NONE) -> None:
    """As `write_claims`, and the verdicts as Markdown and HTML too.

    Raises:
        ValueError: see `write_claims`.
    """
    shown = write_claims(tables, folder, others)[SHOWN]
    markdown(shown, folder / "claims.md", digits=2)
    page(
        "Claims",
        [f"Stated in claims.yaml, digest {claims.claims_digest(CLAIMS)}.", shown],
        folder / "claims.html",
        digits=2,
    )
