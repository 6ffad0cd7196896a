# SPDX-License-Identifier: MIT
"""Spectral metrics as small tables: means over bands of indices, and means over runs by index.

The long tables of `derotate.stages.spectra` have one row per layer, metric and index: megabytes per
run. Claims read means over bands of indices, figures read means over runs by index. Each has a
table of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

BY_BAND: Final = ("value_change", "left_angle", "right_angle")
"""Metrics with one value per singular value or vector; they have bands of their ends too."""
DRAWN_ALONE: Final = ("donor_value", "patient_value")
"""Metrics that are drawn for the pair itself, not for its nulls."""
DRAWN: Final = (*DRAWN_ALONE, "value_change", "left_principal_angle", "right_principal_angle")
"""Metrics that are drawn by index."""
MEASURED: Final = "patient"
"""Value of `against` for the pair itself; any other value names a null."""
UNRELATED: Final = "unrelated_null"
"""Two unrelated random matrices: a null of angles, not of the size of a change."""

OUTER_SHARE: Final = 0.1
"""Share of the indices in each of the two outer bands."""
TOP_SHARE: Final = 0.2
"""Share of the indices in the top band, that of the papers' edits."""

_METRIC = ["kind", "against", "metric", "fraction"]
BANDED_KEYS: Final = ("base_seed", "seed", "pair", *_METRIC, "band")
BANDED_COLUMNS: Final = (*BANDED_KEYS, "value", "largest")
BY_INDEX_COLUMNS: Final = (*_METRIC, "index", "runs", "value", "low", "high")
BY_INDEX_DIGITS: Final = 5
"""Significant digits of the table by index, more than a figure can show."""


def banded(long: pd.DataFrame) -> pd.DataFrame:
    """The metrics of the pairs of runs by kind of matrix and band of indices.

    Bands: `all` indices; of the metrics in `BY_BAND` also `top`, the largest fifth, and `outer`,
    the first and last tenth minus the rest. Values keep the unit of the metric.

    Args:
        long: rows of `rotation.spectra_rows` with base_seed, seed and pair.

    Returns:
        Columns `BANDED_COLUMNS`: `value` is the mean over the band of the means over layers,
        `largest` that of the largest absolute values of any layer. The singular values themselves
        are left out; of unrelated matrices only the angles remain.
    """
    keys = list(BANDED_KEYS[:-1])
    rows = long[~long["metric"].isin(DRAWN_ALONE)]
    rows = rows[(rows["against"] != UNRELATED) | rows["metric"].str.endswith("_angle")]
    rows = rows.assign(size=rows["value"].abs())
    # The index is the last key, so that the values of a group ascend by index.
    by_index = rows.groupby([*keys, "index"], dropna=False).agg(
        value=("value", "mean"), largest=("size", "max")
    )
    records = []
    for key, own in by_index.groupby(level=keys, dropna=False):
        bands = BANDS if key[keys.index("metric")] in BY_BAND else {"all": BANDS["all"]}
        values = own.to_numpy(dtype=float).T
        records += [(*key, name, *map(mean, values)) for name, mean in bands.items()]
    return pd.DataFrame(records, columns=list(BANDED_COLUMNS))


def by_index(long: pd.DataFrame) -> pd.DataFrame:
    """The drawn metrics of one pair by index, over all its runs.

    Args:
        long: rows of `rotation.spectra_rows` with base_seed and seed, of one pair per run.

    Returns:
        Columns `BY_INDEX_COLUMNS`: `value` is the mean over runs of the means over layers, `low`
        and `high` are the lowest and highest of any layer and run, to `BY_INDEX_DIGITS`
        significant digits; `runs` counts them.
    """
    drawn = long[long["metric"].isin(DRAWN)]
    drawn = drawn[(drawn["against"] == MEASURED) | ~drawn["metric"].isin(DRAWN_ALONE)]
    keys = [*_METRIC, "index"]
    runs = drawn.groupby(["base_seed", "seed", *keys], dropna=False)["value"]
    means = runs.agg(value="mean", low="min", high="max").reset_index()
    pooled = means.groupby(keys, dropna=False).agg(
        runs=("value", "size"), value=("value", "mean"), low=("low", "min"), high=("high", "max")
    )
    table = pooled.reset_index()
    for column in ("value", "low", "high"):
        table[column] = table[column].map(_rounded).astype(float)
    return table[list(BY_INDEX_COLUMNS)]


def _top(values: np.ndarray) -> float:
    return float(values[: max(1, round(TOP_SHARE * len(values)))].mean())


def _outer_minus_inner(values: np.ndarray) -> float:
    edge = max(1, round(OUTER_SHARE * len(values)))
    outer = np.concatenate([values[:edge], values[-edge:]])
    inner = values[edge:-edge]
    return float(outer.mean() - inner.mean()) if len(inner) else float("nan")


def _rounded(value: float) -> float:
    return float(f"{value:.{BY_INDEX_DIGITS}g}")


BANDS: Final[Mapping[str, Callable[[np.ndarray], float]]] = MappingProxyType(
    {"all": lambda values: float(values.mean()), "top": _top, "outer": _outer_minus_inner}
)
"""Mean over a band, from the values of a metric over all indices in ascending order."""
