# SPDX-License-Identifier: MIT
"""Verdicts on the claims, from a study's tables alone: quick, and without torch."""

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
    """Judge every claim by the tables in a folder.

    Args:
        tables: folder with the CSV tables of a study, made by a run or cached.
        folder: where `claims.csv` (one row a claim) and `claim_parts.csv` go.
        others: folders with the tables of studies of other tasks, by task.

    Returns:
        What `claims.csv` holds.

    Raises:
        ValueError: a table cannot be true; one line with file, row and column.
    """
    stated, known = claims.load_claims(CLAIMS), read_tables(tables)
    beside = {task: read_tables(path) for task, path in others.items()}
    judged = verdicts.verdicts(stated, known, beside)
    write(judged, folder / "claims.csv")
    write(verdicts.parts_table(stated, known, beside), folder / "claim_parts.csv")
    return judged


def write_verdicts(tables: Path, folder: Path, others: Mapping[str, Path] = NONE) -> None:
    """Judge every claim and write pages of the verdicts beside `write_claims`'s tables.

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
