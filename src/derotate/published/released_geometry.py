# SPDX-License-Identifier: MIT
"""Angles, distances and changes of the released figures beside random and trained weights.

A quantity that random and trained weights share distinguishes nothing and is marked so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import pandas as pd
from scipy import stats

from derotate.published.released_spectra import (
    CONSISTENT,
    DEVIATION,
    LLAMA,
    NOT_CONSISTENT,
    SHAPES,
    measured_values,
)
from derotate.spectral.random_matrices import (
    edge,
    stacked_radius,
    unrelated_chordal,
    unrelated_smallest_angle,
)

_QWEN_SHAPES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"q": (3584, 3584), "k": (512, 3584), "v": (512, 3584)}
)
# Precision of a reading by eye, by unit.
_BY_EYE: Final[Mapping[str, float]] = MappingProxyType({"degrees": 1.0, "share": 0.01})


@dataclass(frozen=True)
class _Check:
    """One quantity: rows of the papers, and its range for random and for trained weights."""

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
        One row per check: quantity, model, matrix, place, observed_low, observed_high, tolerance
        (of the reading), random_low, random_high (95 % of draws), random_from (closed form or
        draws), trained_low, trained_high (over all matrices; missing where nothing comparable was
        trained), verdict, and `tells`: whether the quantity distinguishes trained from random
        weights. Two rows of Qwen, from the same release, show that a check can fail.
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
    trained = _range(measured_values(measured, "trained", "chordal_distance"))
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
    trained = measured_values(measured, "trained", "smallest_principal_angle", share=share)
    name = f"smallest angle of top {size}, SFT to RL"
    checks = [
        _Check(name, LLAMA, "", own, (random, random), _range(trained), "closed form"),
    ]
    for size in (512, 768, 1024):
        own = _rows(spectra, "smallest_principal_angle", recipe="dW_sft to dW_rl", index=size)
        share = size / 4096
        draws = _next_draw(
            measured_values(measured, "random", "smallest_angle_of_changes", share=share)
        )
        trained = measured_values(measured, "trained", "smallest_angle_of_changes", share=share)
        name = f"smallest angle of top {size}, SFT change to RL change"
        checks.append(_Check(name, LLAMA, "q", own, draws, _range(trained), "draws of n = 1024"))
    return checks


def _changes(spectra: pd.DataFrame, measured: pd.DataFrame) -> list[_Check]:
    """Differences of two spectra by index, for k and v: their shape is cheap to draw often."""
    checks = []
    for quantity in (
        "largest_change_of_a_singular_value",
        "mean_change_of_singular_values",
        "std_of_changes_of_singular_values",
    ):
        draws = _next_draw(measured_values(measured, "random", quantity, "k"))
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
    # Checkpoints that hardly differ give 1, as those of Qwen do.
    return [_Check(name, LLAMA, "q", ratio, (random, random), (1.0, 1.0), "closed form")]


def _largest_values(spectra: pd.DataFrame, measured: pd.DataFrame) -> list[_Check]:
    """No random matrix has a value above the edge; the readings (rank 2) are lower bounds."""
    trained = _range(measured_values(measured, "trained", "largest_value_over_edge"))
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
    """Rows of the released figures, without those that third parties quote."""
    own = spectra[(spectra["quantity"] == quantity) & (spectra["model"] == model)]
    own = own[own["version"] == "repository"]
    for column, value in where.items():
        own = own[own[column] == value]
    return own


def _range(values: pd.Series) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _next_draw(values: pd.Series) -> tuple[float, float]:
    """95 % prediction interval of a further draw, by Student's t; never below 0."""
    half_width = float(stats.t.isf(0.025, len(values) - 1)) * math.sqrt(1 + 1 / len(values))
    mean, deviation = float(values.mean()), float(values.std())
    return max(0.0, mean - half_width * deviation), mean + half_width * deviation


def _tolerance(row: Mapping[str, object]) -> float:
    if row["exact"] != "yes":
        return _BY_EYE[str(row["unit"])]
    return 0.5 * 10.0 ** -len(str(row["printed"]).partition(".")[2])
