# SPDX-License-Identifier: MIT
"""The released LLaMA spectra beside random weights and beside a trained model.

The figures of 2509.12235 show no raw spectra. Seven singular values per matrix can be read from
their vector data, and a few angles and distances (`released_geometry`). Each is compared with
unrelated Gaussian matrices of the same shape, without a fitted parameter, and with the same
quantity of a model that was trained here. The verdict is about the figures alone: the cause is
unknown, and the accuracies were measured by another path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from derotate.spectral.random_matrices import expected_value, share_below

LLAMA: Final = "Llama-3.2-11B-Vision-Instruct"
SHAPES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "q": (4096, 4096),
        "k": (1024, 4096),
        "v": (1024, 4096),
        "up": (14336, 4096),
        "down": (4096, 14336),
    }
)
"""(out, in) of the text model's projections (`results/published/settings.csv`)."""
DEVIATION: Final = 0.02
"""Standard deviation of initial weights in Hugging Face's Llama and Qwen2 (initializer_range)."""
PLACES: Final = (0, 100, 200, 400, 600, 760, 1000)
"""Indices at which the released spectra were read."""
CONSISTENT: Final = "consistent with random weights"
NOT_CONSISTENT: Final = "not consistent with random weights"


def distance(
    values: Sequence[float],
    shape: tuple[int, int],
    indices: Sequence[int] | None = None,
    deviation: float = DEVIATION,
) -> float:
    """Kolmogorov distance of singular values from the law of a random matrix, nothing fitted.

    max_i |F(s_i) - (1 - (i + 1/2) / rank)| over the given values. From a part of a spectrum it is a
    lower bound of the distance of the whole spectrum.

    Args:
        values: singular values.
        shape: (out, in).
        indices: the place of each in the spectrum, 0 the largest; all of them if None.
        deviation: of the entries.
    """
    places = np.arange(len(values)) if indices is None else np.asarray(indices)
    shares = 1 - (places + 0.5) / min(shape)
    return float(np.abs(share_below(values, shape, deviation) - shares).max())


def load_measured(path: Path) -> pd.DataFrame:
    """Quantities of random draws and of the trained pair; see `released_spectra_reference`.

    Raises:
        ValueError: columns are missing.
    """
    table = pd.read_csv(path, keep_default_na=False, na_values={"share": [""]})
    missing = {"source", "quantity", "matrix", "draw", "share", "side", "value"} - set(table)
    if missing:
        raise ValueError(f"{path}, row 1: no column {', '.join(sorted(missing))}; make it again")
    return table


def readings(spectra: pd.DataFrame) -> pd.DataFrame:
    """The released singular values beside the law: matrix, recipe, index, value, law, difference.

    Args:
        spectra: the subject `spectra` of `published.load`.
    """
    own = spectra[(spectra["quantity"] == "singular_value") & (spectra["model"] == LLAMA)]
    law = [
        expected_value(int(index), SHAPES[matrix], DEVIATION)
        for matrix, index in zip(own["matrix"], own["index"], strict=True)
    ]
    table = own[["matrix", "recipe", "index", "value"]].assign(law=law).reset_index(drop=True)
    return table.assign(difference=table["value"] - table["law"])


def spectrum_distances(spectra: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Distance of each released spectrum from the law, beside random draws and trained matrices.

    Args:
        spectra: the subject `spectra` of `published.load`.
        measured: from `load_measured`.

    Returns:
        matrix, recipe, points, distance (at the points read), largest_relative_difference,
        random_high (over draws, whole spectrum), trained_low, trained_median, trained_high (over
        all matrices of the trained model, at the same places), verdict. Consistent: not farther
        from the law than a random draw of that shape.
    """
    rows = []
    table = readings(spectra)
    trained = measured_values(measured, "trained", "distance_at_places")
    for (matrix, recipe), own in table.groupby(["matrix", "recipe"], sort=False):
        found = distance(list(own["value"]), SHAPES[str(matrix)], list(own["index"]))
        # k and v have the same shape.
        random = measured_values(measured, "random", "distance", "q" if matrix == "q" else "k")
        rows.append(
            {
                "matrix": matrix,
                "recipe": recipe,
                "points": len(own),
                "distance": found,
                "largest_relative_difference": float((own["difference"] / own["law"]).abs().max()),
                "random_high": random.max(),
                "trained_low": trained.min(),
                "trained_median": trained.median(),
                "trained_high": trained.max(),
                "verdict": CONSISTENT if found <= random.max() else NOT_CONSISTENT,
            }
        )
    return pd.DataFrame(rows)


def measured_values(
    measured: pd.DataFrame,
    source: str,
    quantity: str,
    matrix: str | None = None,
    share: float | None = None,
) -> pd.Series:
    """One measured quantity of random draws or of the trained model.

    Args:
        measured: from `load_measured`.
        source: `random` or `trained`.
        quantity: its name.
        matrix: the kind of matrix; all if None.
        share: size of the subspaces as a share of the dimension; all if None.

    Raises:
        ValueError: it was not measured.
    """
    own = measured[(measured["source"] == source) & (measured["quantity"] == quantity)]
    if matrix is not None:
        own = own[own["matrix"] == matrix]
    if share is not None:
        own = own[(own["share"] - share).abs() < 1e-6]
    if own.empty:
        raise ValueError(
            f"no {quantity} of {source} weights measured (matrix {matrix}, share {share}); "
            "make the table again with derotate.published.released_spectra_reference"
        )
    return own["value"]


def verdict(distances: pd.DataFrame, checks: pd.DataFrame) -> str:
    """The result in words, for the findings page; no stronger than the tables.

    Args:
        distances: from `spectrum_distances`.
        checks: from `released_geometry.geometry`.
    """
    spectra = distances[distances["verdict"] == CONSISTENT]
    telling = checks[(checks["tells"] == "yes") & (checks["model"] == LLAMA)]
    quantities = telling[telling["verdict"] == CONSISTENT]
    all_consistent = len(spectra) == len(distances) and len(quantities) == len(telling)
    return (
        f"The released LLaMA spectra are {'' if all_consistent else 'partly '}{CONSISTENT}: "
        f"{len(spectra)} of {len(distances)} are no farther from the Marchenko-Pastur law than a "
        f"random draw (distance at most {distances['distance'].max():.4f}; the matrices of our "
        f"trained model have {distances['trained_low'].min():.2f} to "
        f"{distances['trained_high'].max():.2f}), and "
        f"{len(quantities)} of {len(telling)} further quantities that distinguish random from "
        "trained weights agree. The cause is unknown, and the accuracies of the papers are not "
        "affected."
    )
