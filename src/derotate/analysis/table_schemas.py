# SPDX-License-Identifier: MIT
"""Reads the tables of a study and refuses those that cannot be true.

Verdicts are drawn from cached tables that people may edit, merge or cut: a key that occurs twice or
a rate beyond its range would quietly change a verdict. Columns or tables that are missing are not
refused; the claims that need them stay undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

_RUN = ("base_seed", "seed")
_CHECKPOINT = (*_RUN, "stage", "algorithm", "step", "update")
_SUITE = ("split", "fold")
_EMPTY = ("direction", "algorithm")
"""Texts that are empty in many rows, and in a study without surgery or RL in all."""


@dataclass(frozen=True)
class TableRule:
    """What must hold in a table.

    Attributes:
        keys: columns that name a row.
        percent: columns within 0 to 100.
        points: differences of percentages, within -100 to 100.
        shares: columns within 0 to 1.
    """

    keys: tuple[str, ...]
    percent: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()


def rules() -> dict[str, TableRule]:
    """The tables that claims may need, by name (the file without `.csv`)."""
    rate = ("accuracy", "low", "high")
    return {
        "landmarks": TableRule(_RUN),
        "contrasts": TableRule(
            (*_RUN, "contrast", "direction", "treatment", "reference", *_SUITE),
            points=("points", "low", "high"),
            shares=("equivalence_p",),
        ),
        "accuracy_by_step": TableRule((*_CHECKPOINT, *_SUITE), percent=rate),
        "errors_by_step": TableRule((*_CHECKPOINT, *_SUITE, "kind"), percent=("share",)),
        "stages": TableRule((*_RUN, "landmark", *_SUITE), percent=rate),
        "picks": TableRule((*_RUN, "criterion", *_SUITE), percent=("accuracy", "best", "regret")),
        "rl_first_update": TableRule(
            (*_RUN, "algorithm", "start"), percent=("correct_share", "zero_variance_share")
        ),
        "spectra": TableRule((*_RUN, "pair", "kind", "against", "metric", "fraction", "band")),
        "surgery_edits": TableRule((*_RUN, "operation", "recipe")),
        "chance": TableRule((*_RUN, *_SUITE), percent=("chance",)),
        "states": TableRule((*_RUN, "pair", *_SUITE, "metric")),
    }


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of `folder` that claims may need, those that are there, checked.

    Keys of text are never missing (an empty field is ""), and `seed` is text, since pooled rows
    say `all`.

    Raises:
        ValueError: see `check_table`; also a file that is not a table.
    """
    tables = {}
    for name, rule in rules().items():
        path = folder / f"{name}.csv"
        if path.is_file():
            tables[name] = read_table(path, rule)
    return tables


def read_table(path: Path, rule: TableRule) -> pd.DataFrame:
    """One table, checked; see `read_tables`.

    Raises:
        ValueError: see `check_table`; also a file that is not a table.
    """
    table = _read(path, rule)
    check_table(table, rule, str(path))
    return table


def check_table(table: pd.DataFrame, rule: TableRule, where: str) -> None:
    """Refuse a table with a key that occurs twice or a value out of its range.

    Args:
        table: one table.
        rule: what must hold.
        where: its file, for the message.

    Raises:
        ValueError: one line with file, row (the header is row 1) and column.
    """
    keys = [key for key in rule.keys if key in table.columns]
    repeated = table.duplicated(keys) if keys else pd.Series(False, index=table.index)
    if repeated.any():
        place = int(repeated.to_numpy().argmax())
        key = ", ".join(f"{name} {table[name].iloc[place]}" for name in keys)
        raise ValueError(
            f"{where}: row {place + 2}, columns {', '.join(keys)}: the key ({key}) occurs twice, "
            "expected once; remove one of the rows"
        )
    for columns, low, high, unit in (
        (rule.percent, 0, 100, "percent"),
        (rule.points, -100, 100, "points"),
        (rule.shares, 0, 1, "a share"),
    ):
        for column in columns:
            if column in table.columns:
                _check_range(table[column], low, high, unit, where)


def _check_range(column: pd.Series, low: float, high: float, unit: str, where: str) -> None:
    numbers = pd.to_numeric(column, errors="coerce")
    # Six significant digits are written, so an end may be off by rounding.
    slack = 1e-6 * (high - low)
    bad = (numbers < low - slack) | (numbers > high + slack) | (numbers.isna() & column.notna())
    if bad.any():
        place = int(bad.to_numpy().argmax())
        raise ValueError(
            f"{where}: row {place + 2}, column {column.name}: got {column.iloc[place]}, expected "
            f"{unit} within {low} to {high}"
        )


def _read(path: Path, rule: TableRule) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(("seed", *_EMPTY), str))
    except (ValueError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"{path}: not a table ({line}); write it again") from None
    texts = [
        key
        for key in rule.keys
        if key in table.columns
        and key != "fraction"
        and not pd.api.types.is_numeric_dtype(table[key])
    ]
    empty = [key for key in _EMPTY if key in table.columns]
    return table.assign(**{key: table[key].fillna("") for key in {*texts, *empty}})
