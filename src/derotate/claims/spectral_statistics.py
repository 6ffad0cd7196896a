# SPDX-License-Identifier: MIT
"""Spectral statistics of one run: a mean over matrices, beside a null or another pair.

`spectra.csv` holds, for each kind of matrix and band of indices, the mean of the means over layers
and that of the largest absolute values of any layer (`derotate.analysis.spectra.banded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from derotate.analysis.select_rows import by_seed
from derotate.claims.cells import MissingCells, Tables, rows_of_run
from derotate.claims.schema import Spectral


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
    where = {
        "pair": f"{names[pair[0]]}-to-{names[pair[1]]}",
        "against": against,
        "band": statistic.band,
    }
    column = "largest" if statistic.largest else "value"
    found = []
    for metric in statistic.metrics:
        rows = rows_of_run(
            tables, "spectra", ["kind", "fraction", column], run, {**where, "metric": metric}
        )
        if statistic.fraction is not None:
            rows = rows[np.isclose(rows["fraction"], statistic.fraction)]
        values = rows[column].to_numpy(dtype=float)
        if not len(values) or np.isnan(values).any():
            at = "" if statistic.fraction is None else f" at fraction {statistic.fraction}"
            raise MissingCells([f"spectra.csv: {metric}{at}"])
        found += values.tolist()
    return float(np.mean(found))
