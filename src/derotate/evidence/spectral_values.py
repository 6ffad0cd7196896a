# SPDX-License-Identifier: MIT
"""Spectral statistics of one run: a mean over matrices, beside a null or another pair.

`spectra.csv` holds, for each kind of matrix and index, the mean over layers and its range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from derotate.evidence.claims import Spectral
from derotate.evidence.lookup import MissingCells, Tables, rows_of_run
from derotate.reporting.cells import by_seed

_OUTER = 0.1
_TOP = 0.2
"""Share of the indices in the outer bands, and in the top band (that of the papers' edits)."""


def value(statistic: Spectral, tables: Tables, run: Mapping[str, Any]) -> float:
    """The statistic of one run (a row of the landmarks).

    Raises:
        MissingCells: no such pair or metric, or no such landmark.
    """
    own = _one(statistic, tables, run, statistic.pair, statistic.against)
    if statistic.minus_pair or statistic.minus_against:
        pair = statistic.minus_pair or statistic.pair
        against = statistic.minus_against or statistic.against
        own -= _one(statistic, tables, run, pair, against)
    return own * statistic.scale


def _one(
    statistic: Spectral,
    tables: Tables,
    run: Mapping[str, Any],
    pair: tuple[str, str],
    against: str,
) -> float:
    names = by_seed(pd.DataFrame([run]))[0].checkpoints
    absent = [name for name in pair if name not in names]
    if absent:
        raise MissingCells([f"landmark {absent[0]}, base {run['base_seed']} seed {run['seed']}"])
    where = {"pair": f"{names[pair[0]]}-to-{names[pair[1]]}", "against": against}
    means = []
    for metric in statistic.metrics:
        columns = ["kind", "index", "fraction", "value", "low", "high"]
        rows = rows_of_run(tables, "spectra", columns, run, {**where, "metric": metric})
        if statistic.fraction is not None:
            rows = rows[np.isclose(rows["fraction"], statistic.fraction)]
        if not len(rows):
            raise MissingCells([f"spectra.csv: {metric} at fraction {statistic.fraction}"])
        measured = rows["value"]
        if statistic.largest:
            measured = rows[["low", "high"]].abs().max(axis=1)
        rows = rows.assign(measured=measured)
        means += [_banded(own, statistic.band) for _, own in rows.groupby("kind")]
    return float(np.mean(means))


def _banded(rows: pd.DataFrame, band: str) -> float:
    """Mean over the band of one kind of matrix; `outer` is the outer tenths minus the rest."""
    values = rows.sort_values("index")["measured"].to_numpy(dtype=float)
    if band == "all":
        return float(values.mean())
    if band == "top":
        return float(values[: max(1, round(_TOP * len(values)))].mean())
    edge = max(1, round(_OUTER * len(values)))
    outer = np.concatenate([values[:edge], values[-edge:]])
    return float(outer.mean() - values[edge:-edge].mean())
