# SPDX-License-Identifier: MIT
"""The numbers of the papers, each with its source and precision.

They are in `results/published/*.csv`, one file per subject; the README there describes them. An
impossible number (a share above 100 %, a repeated row, `on_grid` against its own digits) is refused
with file, row and column, so that no figure shows it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import pandas as pd
import pandera.pandas as pa

from derotate.analysis.table_schemas.reading import FIRST_ROW, validate
from derotate.published.schemas import NUMBERS

SUBJECTS: Final = (
    "accuracy_by_step", "boundary", "stages", "format_errors", "losses", "surgery", "spectra",
    "hidden_states", "setting_paper",
)  # fmt: skip
"""Files of numbers, without `.csv`; `settings.csv` is not one: its values may be words."""

_INTEGERS: Final = ("start", "step", "index", "n")


class PublishedError(ValueError):
    """A file of published numbers that must not be used: one line with file, row and column."""


def load(directory: Path, subject: str) -> pd.DataFrame:
    """The numbers of one subject.

    Args:
        directory: `results/published`.
        subject: one of `SUBJECTS`.

    Returns:
        One row per number, columns of `schemas.NUMBERS`: value is a float; start, step, index and n
        are Int64, missing where a number has none; all others are text, empty where there is
        nothing. Also `printed`, the value as it stands in the file, and `row` there (the header is
        row 1).

    Raises:
        PublishedError: no such file, other columns, or what `schemas.NUMBERS` does not allow.
    """
    table = _read(directory / f"{subject}.csv", NUMBERS)
    table["printed"] = table["value"]
    for column in ("value", *_INTEGERS):
        table[column] = pd.to_numeric(table[column].replace("", None))
    return table.astype(dict.fromkeys(_INTEGERS, "Int64"))


def load_all(directory: Path) -> pd.DataFrame:
    """All numbers, with a column `subject`; see `load`."""
    return pd.concat(
        [load(directory, subject).assign(subject=subject) for subject in SUBJECTS],
        ignore_index=True,
    )


def _read(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """The file as text, validated, with `row`.

    The fields are counted here, since pandas fills short rows up without a word.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except FileNotFoundError:
        raise PublishedError(f"{path}: no such file; it is part of the repository") from None
    columns = list(schema.columns)
    header = lines[0] if lines else []
    if header != columns:
        differing = sorted(set(header) ^ set(columns)) or ["their order"]
        raise PublishedError(
            f"{path}: row 1: columns differ ({', '.join(differing)}), expected {','.join(columns)}"
        )
    for row, fields in enumerate(lines[1:], start=FIRST_ROW):
        if len(fields) != len(columns):
            raise PublishedError(
                f"{path}: row {row}: {len(fields)} fields, expected {len(columns)}; "
                "quote a field that holds a comma"
            )
    table = pd.DataFrame(lines[1:], columns=columns, dtype=str)
    try:
        validate(table, schema, str(path))
    except ValueError as error:
        raise PublishedError(str(error)) from None
    return table.assign(row=range(FIRST_ROW, FIRST_ROW + len(table)))
