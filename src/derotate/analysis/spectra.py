# SPDX-License-Identifier: MIT
"""Spectral metrics as small tables: bands of a run's metrics, and the drawn ones by index.

The long tables of `derotate.stages.spectra` have a row for each layer, metric and index: megabytes
a run. Claims ask for means over bands of indices, figures for courses by index of all runs
together; each gets a table of its own, made here from the long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

BY_BAND: Final = ("value_change", "left_angle", "right_angle")
"""Metrics with a value for each singular value or vector, of which the ends are told apart."""
DRAWN_ALONE: Final = ("donor_value", "patient_value")
"""Metrics that are drawn of the pair itself and not of its nulls."""
DRAWN: Final = (*DRAWN_ALONE, "value_change", "left_principal_angle", "right_principal_angle")
"""Metrics that are drawn by index."""
MEASURED: Final = "patient"
"""What `against` says of the pair itself; anything else names a null."""
UNRELATED: Final = "unrelated_null"
"""Two matrices that have nothing to do with the pair: a null of angles, not of a change's size."""

OUTER_SHARE: Final = 0.1
"""Share of the indices in each of the two outer bands."""
TOP_SHARE: Final = 0.2
"""Share of the indices in the top band, that of the papers' edits."""

_METRIC = ["kind", "against", "metric", "fraction"]
BANDED_KEYS: Final = ("base_seed", "seed", "pair", *_METRIC, "band")
BANDED_COLUMNS: Final = (*BANDED_KEYS, "value", "largest")
BY_INDEX_COLUMNS: Final = (*_METRIC, "index", "runs", "value", "low", "high")
BY_INDEX_DIGITS: Final = 5
"""Significant digits of the table by index: more than a figure can show."""


def banded(long: pd.DataFrame) -> pd.DataFrame:
    """The metrics of the pairs of runs by kind of matrix and band of indices.

    Bands: `all` indices; of the metrics in `BY_BAND` also `top`, the largest fifth, and `outer`,
    the first and last tenth minus the rest. Values keep the unit of the metric.

    Args:
        long: rows of `rotation.spectra_rows` with base_seed, seed and pair.

    Returns:
        Columns `BANDED_COLUMNS`: `value` is the mean over the band of the means over layers,
        `largest` that of the largest absolute values of any layer. The singular values themselves
        are left out, and unrelated matrices but for their angles.
    """
    keys = list(BANDED_KEYS[:-1])
    asked = long[~long["metric"].isin(DRAWN_ALONE)]
    asked = asked[(asked["against"] != UNRELATED) | asked["metric"].str.endswith("_angle")]
    asked = asked.assign(size=asked["value"].abs())
    # by index last, so that each course ascends
    by_index = asked.groupby([*keys, "index"], dropna=False).agg(
        value=("value", "mean"), largest=("size", "max")
    )
    records = []
    for key, own in by_index.groupby(level=keys, dropna=False):
        bands = BANDS if key[keys.index("metric")] in BY_BAND else {"all": BANDS["all"]}
        courses = own.to_numpy(dtype=float).T
        records += [(*key, name, *map(mean, courses)) for name, mean in bands.items()]
    return pd.DataFrame(records, columns=list(BANDED_COLUMNS))


def by_index(long: pd.DataFrame) -> pd.DataFrame:
    """The drawn metrics of one pair by index, all its runs together.

    Args:
        long: rows of `rotation.spectra_rows` with base_seed and seed, of one pair a run.

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


def _top(course: np.ndarray) -> float:
    return float(course[: max(1, round(TOP_SHARE * len(course)))].mean())


def _outer_minus_inner(course: np.ndarray) -> float:
    edge = max(1, round(OUTER_SHARE * len(course)))
    outer = np.concatenate([course[:edge], course[-edge:]])
    inner = course[edge:-edge]
    return float(outer.mean() - inner.mean()) if len(inner) else float("nan")


def _rounded(value: float) -> float:
    return float(f"{value:.{BY_INDEX_DIGITS}g}")


BANDS: Final[Mapping[str, Callable[[np.ndarray], float]]] = MappingProxyType(
    {"all": lambda course: float(course.mean()), "top": _top, "outer": _outer_minus_inner}
)
"""Bands of indices, and what is said of the course of a metric over all indices, ascending."""
