# SPDX-License-Identifier: MIT
"""Spectra of a trained model and the law of random matrices, on one scale.

Values are shares of the largest value that independent entries of the same mean square would give,
places are shares of the rank. Random weights of any size then lie on one curve per ratio of rows to
columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from derotate.spectral.random_matrices import edge, expected_value

COLUMNS = ["matrix", "layer", "out", "in", "index", "value"]
_POINTS = 41


def load_trained(path: Path) -> pd.DataFrame:
    """Singular values of a trained model, one row per value.

    Returns:
        Columns `COLUMNS`: index 0 is the largest value of a matrix.

    Raises:
        ValueError: columns are missing, or a matrix has not as many values as its rank.
    """
    table = pd.read_csv(path)
    missing = set(COLUMNS) - set(table)
    if missing:
        raise ValueError(f"{path}, row 1: no column {', '.join(sorted(missing))}; make it again")
    for (matrix, layer), own in table.groupby(["matrix", "layer"]):
        rank = int(own[["out", "in"]].to_numpy().min())
        if len(own) != rank:
            raise ValueError(
                f"{path}, rows of {matrix} {layer}: {len(own)} values, expected {rank}, the rank; "
                "make it again"
            )
    return table


def on_scale(table: pd.DataFrame) -> pd.DataFrame:
    """Values as shares of the edge of the law, places as shares of the rank.

    The deviation of the entries is that of the matrix itself: sum s^2 / (out in).

    Args:
        table: from `load_trained`.

    Returns:
        matrix, layer, place (0 to 1, the middle of each rank), value (1 is the edge).
    """
    parts = []
    for (matrix, layer), own in table.groupby(["matrix", "layer"], sort=False):
        shape = (int(own["out"].iloc[0]), int(own["in"].iloc[0]))
        deviation = math.sqrt(float(own["value"].pow(2).sum()) / math.prod(shape))
        parts.append(
            pd.DataFrame(
                {
                    "matrix": matrix,
                    "layer": layer,
                    "place": (own["index"] + 0.5) / min(shape),
                    "value": own["value"] / edge(shape, deviation),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def distance_to_nearest(
    values: Sequence[float],
    indices: Sequence[int],
    shape: tuple[int, int],
    deviation: float,
    trained: pd.DataFrame,
) -> float:
    """Kolmogorov distance of a spectrum from that of the trained matrix nearest to it.

    Spectra are compared with root mean squares of 1: for the trained matrix its own, for the other
    that of entries with this deviation. From a few values of a spectrum it is a lower bound.

    Args:
        values: singular values.
        indices: the place of each in its spectrum, 0 the largest.
        shape: (out, in).
        deviation: of the entries.
        trained: from `load_trained`.
    """
    scaled = np.asarray(values) / (deviation * math.sqrt(max(shape)))
    shares = 1 - (np.asarray(indices) + 0.5) / min(shape)
    distances = []
    for _, own in trained.groupby(["matrix", "layer"]):
        of = np.sort(own["value"].to_numpy() / math.sqrt(own["value"].pow(2).mean()))
        below = np.searchsorted(of, scaled) / len(of)
        distances.append(float(np.abs(below - shares).max()))
    return min(distances)


def law(shape: tuple[int, int], deviation: float) -> pd.DataFrame:
    """What the law expects of a matrix, along its spectrum.

    Args:
        shape: (out, in).
        deviation: of the entries.

    Returns:
        index (from 0), place (0 to 1) and value, largest first.
    """
    indices = np.unique(np.linspace(0, min(shape) - 1, _POINTS).round().astype(int))
    return pd.DataFrame(
        {
            "index": indices,
            "place": (indices + 0.5) / min(shape),
            "value": [expected_value(int(index), shape, deviation) for index in indices],
        }
    )
