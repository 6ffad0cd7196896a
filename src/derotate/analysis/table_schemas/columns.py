# SPDX-License-Identifier: MIT
"""Building blocks of the table schemas: typed columns with a unit and a description.

A column's metadata holds `type`, `unit` and `range` (for docs/tables.md) and `expected`, the words
with which a value that fails is refused. No column is required when a table is read: a claim whose
column is missing stays undecided. Columns that are not in the schema are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

import pandas as pd
import pandera.pandas as pa

# Tables are written with six significant digits, so a bound may be exceeded by rounding.
_ROUNDING = 1e-6


def text(description: str, allowed: Sequence[str] = (), *, missing: bool = True) -> pa.Column:
    """A column of text; an empty field of a key column is the text "".

    Args:
        description: for docs/tables.md.
        allowed: the only values; anything if there are none.
        missing: whether fields may be empty.
    """
    values = ", ".join(value or "nothing" for value in allowed)
    checks = [pa.Check.isin(allowed)] if allowed else []
    if not missing:
        checks.append(pa.Check.str_length(min_value=1))
    return pa.Column(
        checks=checks,
        nullable=missing,
        required=False,
        description=description,
        metadata=_metadata("text", "", values, f"one of {values}" if allowed else "a value"),
    )


def matching(pattern: str, description: str, expected: str) -> pa.Column:
    """A column of text whose fields match a regular expression as a whole."""
    return pa.Column(
        checks=pa.Check.str_matches(f"^(?:{pattern})$"),
        required=False,
        description=description,
        metadata=_metadata("text", "", expected, expected),
    )


def whole(description: str, low: int = 0, *, missing: bool = False) -> pa.Column:
    """A column of whole numbers from `low` on."""
    return pa.Column(
        float,
        # Coerced to float: an integer column with an empty field is read as float anyway.
        [pa.Check.ge(low), pa.Check(_is_whole, name="whole")],
        nullable=missing,
        coerce=True,
        required=False,
        description=description,
        metadata=_metadata("integer", "", f"from {low} on", f"a whole number from {low} on"),
    )


def number(
    description: str,
    unit: str = "",
    low: float = -inf,
    high: float = inf,
    *,
    missing: bool = True,
) -> pa.Column:
    """A column of real numbers within `low` to `high`, in `unit`."""
    bounds, slack = "", 0.0
    if isfinite(high):
        bounds, slack = f"{low:g} to {high:g}", _ROUNDING * (high - low)
    elif isfinite(low):
        bounds = f"from {low:g} on"
    expected = f"{unit or 'a number'}{' within' if isfinite(high) else ''} {bounds}".rstrip()
    return pa.Column(
        float,
        pa.Check.in_range(low - slack, high + slack),
        nullable=missing,
        coerce=True,
        required=False,
        description=description,
        metadata=_metadata("number", unit, bounds, expected),
    )


def percent(description: str, *, missing: bool = True) -> pa.Column:
    """Percent within 0 to 100."""
    return number(description, "percent", 0, 100, missing=missing)


def points(description: str) -> pa.Column:
    """A difference of percentages, in points."""
    return number(description, "points", -100, 100)


def share(description: str) -> pa.Column:
    """A share or probability, 0 to 1."""
    return number(description, "a share", 0, 1)


def flag(description: str) -> pa.Column:
    """True or False."""
    return pa.Column(
        checks=pa.Check.isin([True, False]),
        nullable=True,
        required=False,
        description=description,
        metadata=_metadata("boolean", "", "", "True or False"),
    )


def interval(name: str, value: pa.Column, *, suffixed: bool = False) -> dict[str, pa.Column]:
    """A value and the ends of its 95 % interval, `low` and `high`, or `<name>_low` and so on."""
    prefix = f"{name}_" if suffixed else ""
    ends = {
        f"{prefix}{end}": pa.Column(
            float,
            value.checks,
            nullable=True,
            coerce=True,
            required=False,
            description=f"{side} end of its 95 % interval",
            metadata=value.metadata,
        )
        for end, side in (("low", "lower"), ("high", "upper"))
    }
    return {name: value, **ends}


def table(
    rows: str,
    columns: Mapping[str, pa.Column],
    key: str,
    *,
    made_by: str,
    read_by: str,
    checks: Sequence[pa.Check] = (),
) -> pa.DataFrameSchema:
    """The schema of one table.

    Args:
        rows: what a row is, e.g. "One row per run".
        columns: in the order of the file.
        key: the columns that identify a row, separated by spaces.
        made_by: the rule or command that writes the table.
        read_by: the rules and pages that read it.
        checks: of the table as a whole; `name` is the column to blame, `error` what was expected.
    """
    return pa.DataFrameSchema(
        dict(columns),
        checks=list(checks),
        unique=key.split(),
        # The first row of a repeated key is fine, the second is the one to remove.
        report_duplicates="exclude_first",
        description=rows,
        metadata={"made_by": made_by, "read_by": read_by},
    )


def is_text(column: pa.Column) -> bool:
    """Whether a column was made by `text`."""
    return column.metadata is not None and column.metadata["type"] == "text"


def _is_whole(values: pd.Series) -> pd.Series:
    return values % 1 == 0


def _metadata(type_: str, unit: str, range_: str, expected: str) -> dict[str, Any]:
    return {"type": type_, "unit": unit, "range": range_, "expected": expected}
