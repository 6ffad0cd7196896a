# SPDX-License-Identifier: MIT
"""The released LLaMA spectra against random weights and against a trained model.

The figures of 2509.12235 draw no raw spectra: what can be had of them are seven singular values a
matrix, read from vector data, and a few angles and distances. They suffice. Each is set beside what
unrelated gaussian matrices of that shape give, with no fitted parameter, and beside the same
quantity of a model that was trained here. A quantity for which both would give the same is said to
tell nothing. The verdict is about the figures: why they are so is not known, and accuracies, which
were measured by another path, are not touched by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from derotate.spectral.random_matrices import (
    edge,
    expected_value,
    share_below,
    stacked_radius,
    unrelated_chordal,
    unrelated_smallest_angle,
)

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
_QWEN_SHAPES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"q": (3584, 3584), "k": (512, 3584), "v": (512, 3584)}
)
DEVIATION: Final = 0.02
"""Standard deviation of initial weights in Hugging Face's Llama and Qwen2 (initializer_range)."""
PLACES: Final = (0, 100, 200, 400, 600, 760, 1000)
"""Indices at which the released spectra were read."""
CONSISTENT: Final = "consistent with random weights"
NOT_CONSISTENT: Final = "not consistent with random weights"

# Readings by eye are good to about this much.
_BY_EYE: Final[Mapping[str, float]] = MappingProxyType({"degrees": 1.0, "share": 0.01})


def distance(
    values: Sequence[float],
    shape: tuple[int, int],
    indices: Sequence[int] | None = None,
    deviation: float = DEVIATION,
) -> float:
    """Kolmogorov distance of singular values from the law of a random matrix, nothing fitted.

    max_i |F(s_i) - (1 - (i + 1/2) / rank)| over the values given: from a few values of a spectrum
    it is a lower bound of the distance of the whole.

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
    """What random draws and the trained pair gave; see `released_spectra_reference`.

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
    trained = _of(measured, "trained", "distance_at_places")
    for (matrix, recipe), own in table.groupby(["matrix", "recipe"], sort=False):
        found = distance(list(own["value"]), SHAPES[str(matrix)], list(own["index"]))
        # k and v have one shape
        random = _of(measured, "random", "distance", "q" if matrix == "q" else "k")
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


@dataclass(frozen=True)
class _Check:
    """One quantity: which rows of the papers, and what random and trained weights give."""

    name: str
    model: str
    matrix: str
    rows: pd.DataFrame
    random: tuple[float, float]
    trained: tuple[float, float] | None
    origin: str

    def row(self) -> dict[str, object]:
        low, high = float(self.rows["value"].min()), float(self.rows["value"].max())
        slack = float(max(_tolerance(row) for row in self.rows.to_dict("records")))
        near = (self.random[0] - slack, self.random[1] + slack)
        fits = near[0] <= high and low <= near[1]
        apart = self.trained and (self.trained[1] < near[0] or near[1] < self.trained[0])
        return {
            "quantity": self.name,
            "model": self.model,
            "matrix": self.matrix,
            "place": self.rows["place"].iloc[0],
            "observed_low": low,
            "observed_high": high,
            "tolerance": slack,
            "random_low": self.random[0],
            "random_high": self.random[1],
            "random_from": self.origin,
            "trained_low": self.trained[0] if self.trained else float("nan"),
            "trained_high": self.trained[1] if self.trained else float("nan"),
            "verdict": CONSISTENT if fits else NOT_CONSISTENT,
            "tells": "not known" if self.trained is None else "yes" if apart else "no",
        }


def geometry(spectra: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Angles, distances and changes of the released figures beside random and trained weights.

    Args:
        spectra: the subject `spectra` of `published.load`.
        measured: from `load_measured`.

    Returns:
        One row a check: quantity, model, matrix, place, observed_low, observed_high, tolerance (of
        the reading), random_low, random_high (where 95 % of draws lie), random_from (closed form or
        draws), trained_low, trained_high (over all matrices; missing where nothing comparable was
        trained), verdict, and `tells`: whether training gives what random weights do not. Two rows
        of Qwen, from the same release, show that the checks can fail.
    """
    checks = [
        *_chordal(spectra, measured),
        *_smallest_angles(spectra, measured),
        *_changes(spectra, measured),
        *_radii(spectra),
        *_largest_values(spectra, measured),
    ]
    return pd.DataFrame([check.row() for check in checks])


def _chordal(spectra: pd.DataFrame, measured: pd.DataFrame) -> list[_Check]:
    trained = _range(_of(measured, "trained", "chordal_distance"))
    found = []
    for matrix in ("up", "k"):
        random = unrelated_chordal(min(SHAPES[matrix]), max(SHAPES[matrix]))
        own = _rows(spectra, "chordal_distance", matrix=matrix)
        found.append(
            _Check("chordal distance", LLAMA, matrix, own, (random, random), trained, "closed form")
        )
    return found


def _smallest_angles(spectra: pd.DataFrame, measured: pd.DataFrame) -> list[_Check]:
    own = _rows(spectra, "smallest_principal_angle", recipe="sft to rl")
    size = int(own["index"].iloc[0])
    random = unrelated_smallest_angle(size, 4096)
    share = size / 4096
    trained = _of(measured, "trained", "smallest_principal_angle", share=share)
    name = f"smallest angle of top {size}, SFT to RL"
    checks = [
        _Check(name, LLAMA, "", own, (random, random), _range(trained), "closed form"),
    ]
    for size in (512, 768, 1024):
        own = _rows(spectra, "smallest_principal_angle", recipe="dW_sft to dW_rl", index=size)
        share = size / 4096
        draws = _next_draw(_of(measured, "random", "smallest_angle_of_changes", share=share))
        trained = _of(measured, "trained", "smallest_angle_of_changes", share=share)
        name = f"smallest angle of top {size}, SFT change to RL change"
        checks.append(_Check(name, LLAMA, "q", own, draws, _range(trained), "draws of n = 1024"))
    return checks


def _changes(spectra: pd.DataFrame, measured: pd.DataFrame) -> list[_Check]:
    """How two spectra differ index by index; of k and v, whose shape can be drawn often enough."""
    checks = []
    for quantity in (
        "largest_change_of_a_singular_value",
        "mean_change_of_singular_values",
        "std_of_changes_of_singular_values",
    ):
        draws = _next_draw(_of(measured, "random", quantity, "k"))
        for matrix in ("k", "v"):
            own = _rows(spectra, quantity, matrix=matrix)
            name = quantity.replace("_", " ")
            checks.append(_Check(name, LLAMA, matrix, own, draws, None, "draws"))
    return checks


def _radii(spectra: pd.DataFrame) -> list[_Check]:
    stacked = _rows(spectra, "mean_pca_radius", matrix="q", recipe="stacked")
    alone = float(_rows(spectra, "mean_pca_radius", matrix="q", recipe="self")["value"].iloc[0])
    ratio = stacked.assign(value=stacked["value"] / alone, unit="share", exact="plot")
    random = stacked_radius(3)
    name = "row radius of three stacked checkpoints over that of one"
    # Checkpoints that hardly moved give 1, as Qwen's do.
    return [_Check(name, LLAMA, "q", ratio, (random, random), (1.0, 1.0), "closed form")]


def _largest_values(spectra: pd.DataFrame, measured: pd.DataFrame) -> list[_Check]:
    """No random matrix has a value above the edge; the readings are lower bounds (rank 2)."""
    trained = _range(_of(measured, "trained", "largest_value_over_edge"))
    checks = []
    for model, shapes in ((LLAMA, SHAPES), ("Qwen2.5-7B-Instruct", _QWEN_SHAPES)):
        own = _rows(spectra, "rank_2_singular_value", model=model)
        for matrix, rows in own.groupby("matrix", sort=False):
            top = edge(shapes[str(matrix)], DEVIATION)
            over = rows.assign(value=rows["value"] / top, unit="share", exact="plot")
            name = "largest value over the edge of the law"
            checks.append(_Check(name, model, str(matrix), over, (0.0, 1.0), trained, "bound"))
    return checks


def _rows(
    spectra: pd.DataFrame, quantity: str, model: str = LLAMA, **where: object
) -> pd.DataFrame:
    """Rows of the released figures; what third parties quote is no reading."""
    own = spectra[(spectra["quantity"] == quantity) & (spectra["model"] == model)]
    own = own[own["version"] == "repository"]
    for column, value in where.items():
        own = own[own[column] == value]
    return own


def _of(
    measured: pd.DataFrame,
    source: str,
    quantity: str,
    matrix: str | None = None,
    share: float | None = None,
) -> pd.Series:
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


def _range(values: pd.Series) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _next_draw(values: pd.Series) -> tuple[float, float]:
    """Where 95 % of further draws lie, by Student's t for a single new value; never below 0."""
    reach = float(stats.t.isf(0.025, len(values) - 1)) * math.sqrt(1 + 1 / len(values))
    middle, spread = float(values.mean()), float(values.std())
    return max(0.0, middle - reach * spread), middle + reach * spread


def _tolerance(row: Mapping[str, object]) -> float:
    if row["exact"] != "yes":
        return _BY_EYE[str(row["unit"])]
    return 0.5 * 10.0 ** -len(str(row["printed"]).partition(".")[2])


def verdict(distances: pd.DataFrame, checks: pd.DataFrame) -> str:
    """The whole in words, for the findings page; no stronger than the tables.

    Args:
        distances: from `spectrum_distances`.
        checks: from `geometry`.
    """
    good = distances[distances["verdict"] == CONSISTENT]
    told = checks[(checks["tells"] == "yes") & (checks["model"] == LLAMA)]
    fit = told[told["verdict"] == CONSISTENT]
    whole = len(good) == len(distances) and len(fit) == len(told)
    return (
        f"The released LLaMA spectra are {CONSISTENT if whole else 'partly ' + CONSISTENT}: "
        f"{len(good)} of {len(distances)} lie no farther from the Marchenko-Pastur law than a "
        f"random draw (distance at most {distances['distance'].max():.4f}; the matrices of our "
        f"trained model have {distances['trained_low'].min():.2f} to "
        f"{distances['trained_high'].max():.2f}), and "
        f"{len(fit)} of {len(told)} further quantities that tell random from trained weights say "
        "the same. What caused it is not known, and accuracies are not concerned."
    )
