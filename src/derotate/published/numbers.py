# SPDX-License-Identifier: MIT
"""The numbers of the papers, with where each stands and how exactly it is known.

They lie in `results/published/*.csv`, one file a subject; the README there says what each holds and
what is left out. A number that cannot be right (a share above 100 %, a row given twice, a mark that
its own digits contradict) is refused with file, row and column, so that no figure draws it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

SUBJECTS: Final = (
    "accuracy_by_step", "boundary", "stages", "format_errors", "losses", "surgery", "spectra",
    "hidden_states", "setting_paper",
)  # fmt: skip
"""Files of numbers, without `.csv`; `settings` is apart, since its values may be words."""

KEY: Final = (
    "paper", "version", "place", "model", "task", "quantity", "split", "matrix", "recipe", "start",
    "step", "index", "bound",
)  # fmt: skip
"""What tells one number from another."""
COLUMNS: Final = (
    "paper", "version", "place", "source", *KEY[3:], "value", "unit", "n", "on_grid", "exact",
    "certain", "claims", "note",
)  # fmt: skip
SETTINGS_KEY: Final = ("paper", "version", "place", "model", "task", "stage", "setting")
SETTINGS_COLUMNS: Final = (
    "paper", "version", "place", "source", *SETTINGS_KEY[3:], "value", "unit", "exact", "certain",
    "note",
)  # fmt: skip

_WHOLE: Final = ("start", "step", "index", "n")
_FIRST_ROW: Final = 2  # of a file: the header is row 1


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALLOWED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "source": _words("code file vector figure abstract third_party recalled"),
        "exact": _words("yes plot about"),
        "certain": _words("yes no"),
        "on_grid": _words("yes no") | {""},
        "bound": _words("from to below above") | {""},
        "claims": frozenset(f"C{number}" for number in range(1, 19)),
    }
)
_RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"%": (0, 100), "share": (0, 1), "degrees": (0, 90)}
)
_NEEDED: Final = ("paper", "version", "place", "source", "value", "exact", "certain")


class PublishedError(ValueError):
    """A file of published numbers that must not be used: one line with file, row and column."""


@dataclass(frozen=True)
class Grid:
    """The count that a rate comes nearest to.

    Attributes:
        count: k of n.
        reached: 100 k / n, rounded as the rate was, is the rate.
        chance: how often a number with as many digits, drawn at random, would pass.
    """

    count: int
    reached: bool
    chance: float


def nearest_count(percent: str, n: int) -> Grid:
    """Is a rate in percent, as printed, a count out of `n`?

    The printed digits stand for all numbers within half a unit of the last one. With n = 234 the
    counts lie 0.427 points apart: one digit after the point is met by chance in 23 % of cases, two
    digits in 2 %.

    Args:
        percent: as printed, e.g. `17.52`; its digits count.
        n: problems, above 0.
    """
    half = 0.5 * 10.0 ** -len(percent.partition(".")[2])
    count = round(float(percent) * n / 100)
    reached = abs(100 * count / n - float(percent)) <= half + 1e-9
    return Grid(count, reached, min(1.0, 2 * half * n / 100))


def restored_values(surgery: pd.DataFrame) -> pd.DataFrame:
    """Can the figures of restored singular values be measurements of 234 hands each?

    Args:
        surgery: the subject `surgery` of `load`.

    Returns:
        A row a model: points, correlation of its ID and OOD series, and for both splits together
        how many points are counts of n and how many would be so by chance.
    """
    own = surgery[surgery["recipe"] == "values-top"]
    rows = []
    for model, points in own.groupby("model", sort=False):
        series = points.pivot(index="index", columns="split", values="value")
        grids = [
            nearest_count(printed, int(n))
            for printed, n in zip(points["printed"], points["n"], strict=True)
        ]
        rows.append(
            {
                "model": model,
                "points": len(grids),
                "correlation": float(series["id"].corr(series["ood"])),
                "counts": sum(grid.reached for grid in grids),
                "counts_by_chance": sum(grid.chance for grid in grids),
            }
        )
    return pd.DataFrame(rows)


def load(directory: Path, subject: str) -> pd.DataFrame:
    """The numbers of one subject.

    Args:
        directory: `results/published`.
        subject: one of `SUBJECTS`.

    Returns:
        One row a number, columns `COLUMNS`: value is a float; start, step, index and n are Int64,
        missing where a number has none; all others are strings, empty where there is nothing. Also
        `printed`, the value as it stands in the file, and `row` there (the header is row 1).

    Raises:
        PublishedError: no such file, other columns, a row given twice, a value that is no number or
            outside the range of its unit, a word outside those allowed, or a wrong `on_grid`.
    """
    path = directory / f"{subject}.csv"
    table = _read(path, COLUMNS, KEY)
    _check_words(path, table)
    table["printed"] = table["value"]
    for column in ("value", *_WHOLE):
        table[column] = _numbers(path, table, column)
    for row in table.to_dict("records"):
        _check_number(path, row)
    return table.astype(dict.fromkeys(_WHOLE, "Int64"))


def load_all(directory: Path) -> pd.DataFrame:
    """All numbers, with a column `subject`; see `load`."""
    return pd.concat(
        [load(directory, subject).assign(subject=subject) for subject in SUBJECTS],
        ignore_index=True,
    )


def load_settings(directory: Path) -> pd.DataFrame:
    """Hyper-parameters and set-up, columns `SETTINGS_COLUMNS` and `row`, all but `row` strings.

    Raises:
        PublishedError: as `load`.
    """
    path = directory / "settings.csv"
    table = _read(path, SETTINGS_COLUMNS, SETTINGS_KEY)
    _check_words(path, table)
    return table


def _read(path: Path, columns: tuple[str, ...], key: tuple[str, ...]) -> pd.DataFrame:
    """The file as strings, with `row`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = list(csv.reader(file))
    except FileNotFoundError:
        raise PublishedError(f"{path}: no such file; it is part of the repository") from None
    header = tuple(found[0]) if found else ()
    if header != columns:
        odd = sorted(set(header) ^ set(columns)) or ["their order"]
        raise PublishedError(
            f"{path}, row 1: columns differ ({', '.join(odd)}), expected {','.join(columns)}"
        )
    for row, fields in enumerate(found[1:], start=_FIRST_ROW):
        if len(fields) != len(columns):
            raise PublishedError(
                f"{path}, row {row}: {len(fields)} fields, expected {len(columns)}; "
                "quote a field that holds a comma"
            )
    table = pd.DataFrame(found[1:], columns=list(columns), dtype=str)
    table["row"] = range(_FIRST_ROW, _FIRST_ROW + len(table))
    repeated = table[table.duplicated(list(key))]
    if len(repeated):
        again = repeated.iloc[0]
        same = (table[list(key)] == again[list(key)]).all(axis=1)
        raise PublishedError(
            f"{path}, row {again['row']}, columns {','.join(key)}: the same as row "
            f"{table.loc[same, 'row'].iloc[0]}; keep one"
        )
    return table


def _numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """The column as numbers, missing where it is empty."""
    numbers = pd.to_numeric(table[column].replace("", None), errors="coerce")
    bad = numbers.isna() & (table[column] != "")
    expected = "a number"
    if column in _WHOLE:
        bad |= (numbers < 0) | (numbers % 1 > 0)
        expected = "a whole number from 0 on"
    _refuse(path, table, bad | numbers.isin([float("inf"), float("-inf")]), column, expected)
    return numbers


def _check_words(path: Path, table: pd.DataFrame) -> None:
    for column in (name for name in _NEEDED if name in table):
        _refuse(path, table, table[column] == "", column, "a value")
    for column, allowed in _ALLOWED.items():
        if column in table:
            cells = table[column].map(str.split if column == "claims" else lambda cell: [cell])
            bad = ~cells.map(lambda words, allowed=allowed: allowed.issuperset(words))
            known = ", ".join(sorted(word or "nothing" for word in allowed))
            _refuse(path, table, bad, column, known)


def _check_number(path: Path, row: Mapping[Any, Any]) -> None:
    place = f"{path}, row {row['row']}, column"
    low, high = _RANGES.get(row["unit"], (float("-inf"), float("inf")))
    if not low <= row["value"] <= high:
        raise PublishedError(
            f"{place} value: {row['printed']} {row['unit']}, expected {low:g} to {high:g}"
        )
    if row["on_grid"]:
        if not row["n"] > 0:
            raise PublishedError(f"{place} n: no count of problems, which on_grid needs")
        truth = "yes" if nearest_count(row["printed"], int(row["n"])).reached else "no"
        if row["on_grid"] != truth:
            raise PublishedError(
                f"{place} on_grid: {row['on_grid']}, but {row['printed']} % of {row['n']:g} "
                f"gives {truth}"
            )


def _refuse(path: Path, table: pd.DataFrame, bad: pd.Series, column: str, expected: str) -> None:
    if bad.any():
        first = table[bad].iloc[0]
        raise PublishedError(
            f"{path}, row {first['row']}, column {column}: {first[column]!r}, expected {expected}"
        )
