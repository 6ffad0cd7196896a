# SPDX-License-Identifier: MIT
"""Lookup of cells in the tables of a study; missing cells are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from derotate.study.checkpoint import Checkpoint

Tables = Mapping[str, pd.DataFrame]
"""Tables by name, as `derotate.analysis.table_schemas.reading.read_tables` gives them."""

RUN = ["base_seed", "seed"]
RL_END = "{rl_end}"
"""Stands for the name of an RL run in a claim."""
_SHOWN = 4


class MissingCells(Exception):
    """Cells that a claim needs and that the tables lack; the message names them in one line."""

    def __init__(self, cells: Sequence[str]) -> None:
        self.cells = tuple(cells)
        rest = len(self.cells) - _SHOWN
        more = f"; and {rest} more" if rest > 0 else ""
        super().__init__("; ".join(self.cells[:_SHOWN]) + more)


def study_runs(tables: Tables) -> pd.DataFrame:
    """The landmarks of a study, one row per run, `seed` as text, in the order of the table.

    Raises:
        MissingCells: no such table, or no run in it.
    """
    runs = table_of(tables, "landmarks", [*RUN, "max_ood", "sft_end"])
    if not len(runs):
        raise MissingCells(["landmarks.csv: a run"])
    absent = [name for name in ("algorithm", "start", "step") if f"rl_end_{name}" not in runs]
    runs = runs.assign(**{f"rl_end_{name}": None for name in absent})
    return runs.assign(seed=runs["seed"].astype(str)).reset_index(drop=True)


def rl_end(tables: Tables) -> str:
    """The RL run of the landmark `rl_end`, which the config names for all runs.

    Raises:
        MissingCells: the study has none.
    """
    run = study_runs(tables).iloc[0]
    if pd.isna(run["rl_end_start"]):
        raise MissingCells(["landmark rl_end"])
    return Checkpoint.rl(run["rl_end_algorithm"], int(run["rl_end_start"])).label


def table_of(tables: Tables, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """A table that has these columns.

    Raises:
        MissingCells: no such table, or no such column.
    """
    if name not in tables:
        raise MissingCells([f"table {name}.csv"])
    missing = [column for column in columns if column not in tables[name].columns]
    if missing:
        raise MissingCells([f"{name}.csv: column {column}" for column in missing])
    return tables[name]


def matches(table: pd.DataFrame, where: Mapping[str, str | int | float]) -> pd.Series:
    """Which rows have these values."""
    fits = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        fits &= np.asarray(table[column].to_numpy(dtype=object) == value, dtype=bool)
    return pd.Series(fits, index=table.index)


def words(where: Mapping[str, str | int | float]) -> str:
    """The values of a key, for a message."""
    return " ".join(str(value) for value in where.values() if value != "")


def rows_of_run(
    tables: Tables,
    name: str,
    columns: Sequence[str],
    run: Mapping[str, Any],
    where: Mapping[str, str | int | float],
) -> pd.DataFrame:
    """The rows of a run with these values, at least one.

    Raises:
        MissingCells: there is none.
    """
    table = table_of(tables, name, [*RUN, *where, *columns])
    # A seed is text in tables with pooled rows, and a number in those made without a file.
    seed = type(table["seed"].iloc[0])(run["seed"]) if len(table) else run["seed"]
    found = table[matches(table, {"base_seed": run["base_seed"], "seed": seed, **where})]
    if not len(found):
        raise MissingCells(
            [f"{name}.csv: {words(where)}, base {run['base_seed']} seed {run['seed']}"]
        )
    return found
