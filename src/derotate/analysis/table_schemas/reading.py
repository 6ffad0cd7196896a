# SPDX-License-Identifier: MIT
"""Reads CSV tables and refuses values that cannot be true, in one line.

Verdicts are drawn from cached tables that people may edit, merge or cut: a repeated key or a rate
out of range would quietly change a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from derotate.analysis.table_schemas.columns import is_text
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.study.tables import CLAIM_TABLES

FIRST_ROW = 2
"""Number of the first row of values in a file: the header is row 1."""


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of a study that claims are judged by, those that exist, validated.

    Raises:
        ValueError: see `read_table`.
    """
    paths = {name: folder / f"{name}.csv" for name in CLAIM_TABLES}
    return {name: read_table(path, SCHEMAS[name]) for name, path in paths.items() if path.is_file()}


def read_table(path: Path, schema: pa.DataFrameSchema, *, complete: bool = False) -> pd.DataFrame:
    """One table, validated.

    Text is read as text, also where it looks like a number: `seed` is `all` in pooled rows. An
    empty field of a text key is "". Numbers keep the type that pandas infers.

    Args:
        path: the CSV file.
        schema: of the table.
        complete: refuse a table that lacks a column of the schema.

    Raises:
        ValueError: not a CSV table, or see `validate`; one line with the file.
    """
    texts = {name: str for name, column in schema.columns.items() if is_text(column)}
    try:
        table = pd.read_csv(path, dtype=texts)
    except (ValueError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"{path}: not a table ({line}); write it again") from None
    if complete:
        require_columns(table, schema, str(path))
    keys = [name for name in schema.unique or () if name in texts and name in table.columns]
    table = table.assign(**{name: table[name].fillna("") for name in keys})
    validate(table, schema, str(path))
    return table


def require_columns(table: pd.DataFrame, schema: pa.DataFrameSchema, file: str) -> None:
    """Refuse a table that lacks a column of its schema.

    Raises:
        ValueError: one line with the file and the columns.
    """
    missing = [name for name in schema.columns if name not in table.columns]
    if missing:
        maker = (schema.metadata or {})["made_by"]
        raise ValueError(
            f"{file}: row 1, no column {', '.join(missing)}, expected those that {maker} writes; "
            "make it again"
        )


def validate(table: pd.DataFrame, schema: pa.DataFrameSchema, file: str) -> None:
    """Refuse a table with a repeated key or a value that its schema does not allow.

    Columns that the table lacks are not checked.

    Raises:
        ValueError: one line with file, row (the header is row 1), column, value and what was
            expected; of the first row that fails.
    """
    numbered = table.reset_index(drop=True)
    try:
        schema.validate(numbered, lazy=True)
    except SchemaErrors as errors:
        failures = [_failure(error) for error in errors.schema_errors]
        first = min((known for known in failures if known), default=None, key=lambda at: at.row)
        if first is not None:
            raise ValueError(f"{file}: {first.message(numbered, schema)}") from None


@dataclass(frozen=True)
class _Failure:
    """The first row (from 0) that fails a check; no column where the key is repeated."""

    row: int
    column: str | None
    expected: str

    def message(self, table: pd.DataFrame, schema: pa.DataFrameSchema) -> str:
        """Row, column, value and what was expected."""
        place = f"row {self.row + FIRST_ROW}, column"
        if self.column is not None:
            value = table[self.column].iloc[self.row]
            shown = "an empty field" if pd.isna(value) or value == "" else value
            return f"{place} {self.column}: got {shown}, expected {self.expected}"
        names = [name for name in schema.unique or () if name in table.columns]
        keys = table[names]
        key = ", ".join(f"{name} {keys[name].iloc[self.row]}" for name in names)
        same = int(keys.eq(keys.iloc[self.row]).all(axis=1).to_numpy().argmax())
        return (
            f"{place}s {', '.join(names)}: the key ({key}) occurs twice, expected once; remove it "
            f"or row {same + FIRST_ROW}"
        )


def _failure(error: SchemaError) -> _Failure | None:
    """Where a check failed; None for what another error explains.

    A range cannot be checked (CHECK_ERROR) where a value is not a number, or where a check of the
    whole table needs a column that is missing. The type is wrong wherever coercion failed.
    """
    if error.reason_code in (SchemaErrorReason.CHECK_ERROR, SchemaErrorReason.WRONG_DATATYPE):
        return None
    row = int(error.failure_cases["index"].min())
    if error.reason_code is SchemaErrorReason.DUPLICATES:
        return _Failure(row, None, "")
    if isinstance(error.schema, pa.DataFrameSchema):
        return _Failure(row, str(error.check.name), str(error.check.error))
    return _Failure(row, error.schema.name, error.schema.metadata["expected"])
