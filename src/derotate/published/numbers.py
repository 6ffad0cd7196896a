# SPDX-License-Identifier: MIT
"""The numbers of the papers, with where each stands and how exactly it is known.

They lie in `results/published/*.csv`, one file per subject; the README there says what each holds
and what is left out. A number that cannot be right (a share above 100 %, a repeated row, a mark
that its own digits contradict) is refused with file, row and column, so that no figure draws it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import pandas as pd
import pandera.pandas as pa

from derotate.analysis.table_schemas.reading import FIRST_ROW, validate
from derotate.published.schemas import NUMBERS, SETTINGS, nearest_count

SUBJECTS: Final = (
    "accuracy_by_step", "boundary", "stages", "format_errors", "losses", "surgery", "spectra",
    "hidden_states", "setting_paper",
)  # fmt: skip
"""Files of numbers, without `.csv`; `settings` is apart, since its values may be words."""

_INTEGERS: Final = ("start", "step", "index", "n")


class PublishedError(ValueError):
    """A file of published numbers that must not be used: one line with file, row and column."""


def restored_values(surgery: pd.DataFrame) -> pd.DataFrame:
    """Whether the figures of restored singular values can be measurements of 234 hands each.

    Args:
        surgery: the subject `surgery` of `load`.

    Returns:
        One row per model: points, correlation of its ID and OOD series, and for both splits
        together how many points are counts of n and how many would be so by chance.
    """
    own = surgery[surgery["recipe"] == "values-top"]
    rows = []
    for model, points in own.groupby("model", sort=False):
        series = points.pivot(index="index", columns="split", values="value")
        counts = [
            nearest_count(printed, int(n))
            for printed, n in zip(points["printed"], points["n"], strict=True)
        ]
        rows.append(
            {
                "model": model,
                "points": len(counts),
                "correlation": float(series["id"].corr(series["ood"])),
                "counts": sum(count.reached for count in counts),
                "counts_by_chance": sum(count.chance for count in counts),
            }
        )
    return pd.DataFrame(rows)


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


def load_settings(directory: Path) -> pd.DataFrame:
    """Hyper-parameters and set-up, columns of `schemas.SETTINGS` and `row`, all but `row` text.

    Raises:
        PublishedError: as `load`.
    """
    return _read(directory / "settings.csv", SETTINGS)


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
