# SPDX-License-Identifier: MIT
"""Spectral statistics of one run: a mean over matrices, minus that of a null or another pair.

`spectra.csv` holds, for each kind of matrix and band of indices, the mean of the means over layers
and that of the largest absolute values of any layer (`derotate.analysis.spectra.banded`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from derotate.analysis.select_rows import by_seed
from derotate.claims.cells import MissingCells, Tables, rows_of_run
from derotate.claims.run_statistic import Landmark, RequiredCells, RunStatistic


class Spectral(RunStatistic):
    """A mean over matrices of a spectral metric between two landmarks, minus that of another.

    The mean runs over the kinds of matrices, the metrics and the indices of the band; `largest`
    takes the largest absolute value over layers, else the mean over layers. `outer` is the mean
    over the first and last tenth of the indices minus that over the rest.
    """

    kind: Literal["spectral"]
    metrics: tuple[str, ...]
    pair: tuple[Landmark, Landmark]
    against: str = "patient"
    minus_pair: tuple[Landmark, Landmark] | None = None
    minus_against: str | None = None
    fraction: float | None = None
    band: Literal["all", "top", "outer"] = "all"
    largest: bool = False
    scale: float = 1.0

    def value(self, tables: Tables, run: Mapping[str, Any]) -> float:
        """See `RunStatistic`."""
        mean = _mean(self, tables, run, self.pair, self.against)
        if self.minus_pair or self.minus_against:
            pair = self.minus_pair or self.pair
            mean -= _mean(self, tables, run, pair, self.minus_against or self.against)
        return mean * self.scale

    def required_cells(self) -> Iterator[RequiredCells]:
        """See `RunStatistic`."""
        for landmark in (*self.pair, *(self.minus_pair or ())):
            yield RequiredCells("spectra", {"landmark": landmark})


def _mean(
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
