# SPDX-License-Identifier: MIT
"""docs/tables.md: every CSV table with its columns, units, key, maker and readers, from schemas."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pandera.pandas as pa

from derotate.analysis.table_schemas import derived
from derotate.analysis.table_schemas.evaluations import ACCURACY_BY_STEP
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.published.numbers import SUBJECTS
from derotate.published.schemas import NUMBERS, SETTINGS
from derotate.report.templates import render
from derotate.study.tables import TABLES

_DERIVED: Final = {
    "sft_accuracy_by_step": ACCURACY_BY_STEP,
    "phase": derived.PHASE,
    "claims": derived.CLAIMS,
    "claim_parts": derived.CLAIM_PARTS,
    "reexamination_spectra": derived.REEXAMINATION_SPECTRA,
    "reexamination_checks": derived.REEXAMINATION_CHECKS,
    "budget": derived.BUDGET,
}
_REFERENCE: Final = {
    "calibration/calibration": derived.CALIBRATION,
    "reexamination/measured": derived.MEASURED,
    "reexamination/trained_spectra": derived.TRAINED_SPECTRA,
    "pair/evaluations": derived.PAIR_EVALUATIONS,
    "pair/problems": derived.PAIR_PROBLEMS,
}

FILES: Final[Mapping[str, Mapping[str, pa.DataFrameSchema]]] = MappingProxyType(
    {
        "Tables of a study": {
            f"{name}.csv": schema
            for name, schema in ({name: SCHEMAS[name] for name in TABLES} | _DERIVED).items()
        },
        "Tables of the reference": {f"{name}.csv": schema for name, schema in _REFERENCE.items()},
        "Numbers of the papers": {
            ", ".join(f"{subject}.csv" for subject in SUBJECTS): NUMBERS,
            "settings.csv": SETTINGS,
        },
    }
)
"""Schemas by heading and by file: in a study's `tables/`, `results/reference/` (a committed study
has the tables of a study too) and `results/published/`."""


def tables_page() -> str:
    """The page as Markdown."""
    groups = [
        {"title": title, "tables": [_table(file, schema) for file, schema in files.items()]}
        for title, files in FILES.items()
    ]
    return render("tables.md.j2", {"groups": groups})


def _table(file: str, schema: pa.DataFrameSchema) -> dict[str, Any]:
    metadata = schema.metadata or {}
    return {
        "file": file,
        "rows": schema.description,
        "key": ", ".join(schema.unique or ()),
        "made_by": metadata["made_by"],
        "read_by": metadata["read_by"],
        "columns": [
            {
                "name": name,
                "description": column.description,
                **{key: (column.metadata or {})[key] for key in ("type", "unit", "range")},
            }
            for name, column in schema.columns.items()
        ],
    }
