# SPDX-License-Identifier: MIT
"""The released spectra, the Marchenko-Pastur law of random weights, and a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derotate.figures.style import Role, canvas, colour, shades, styled
from derotate.published.released_spectra import DEVIATION, SHAPES
from derotate.published.trained_spectra import law, on_scale
from derotate.spectral.random_matrices import edge

# k and v have the same shape, so the same law.
_LAWS: Final = ("q", "k")
_MARKERS: Final[Mapping[str, str]] = MappingProxyType({"q": "o", "k": "s", "v": "x"})


@styled
def reexamination(
    readings: pd.DataFrame, trained: pd.DataFrame, distances: pd.DataFrame, measured: pd.DataFrame
) -> Figure:
    """Three panels: the released values on the law, a trained model off it, and both distances.

    Args:
        readings: from `reexamination.readings`.
        trained: from `trained_spectra.load_trained`.
        distances: from `reexamination.spectrum_distances`.
        measured: from `reexamination.load_measured`.
    """
    figure, ((left, middle, right),) = canvas(1, 3, row_height=2.9)
    _released(left, readings)
    _trained(middle, readings, trained)
    _distances(right, distances, measured)
    return figure


def _released(axes: Axes, readings: pd.DataFrame) -> None:
    for matrix in _LAWS:
        expected = law(SHAPES[matrix], DEVIATION)
        axes.plot(expected["index"], expected["value"], color=colour("null"), lw=1.4)
    for matrix, own in readings.groupby("matrix", sort=False):
        axes.plot(
            own["index"], own["value"], _MARKERS[str(matrix)], color=colour("sft"), ms=4,
            mfc="none", label=f"{matrix}, {' x '.join(map(str, SHAPES[str(matrix)]))}",
        )  # fmt: skip
    axes.set(
        title="Released LLaMA", xlabel="index", ylabel="singular value",
        xlim=(-60, 1400), ylim=(0, 3.6),
    )  # fmt: skip
    axes.plot([], [], color=colour("null"), label=f"random, sd {DEVIATION:g}")
    axes.legend(loc="upper right")


def _trained(axes: Axes, readings: pd.DataFrame, trained: pd.DataFrame) -> None:
    scaled = on_scale(trained)
    kinds = [kind for kind in _MARKERS if kind in set(scaled["matrix"])]
    for kind, shade in zip(kinds, shades("id", len(kinds)), strict=True):
        for number, (_, own) in enumerate(scaled[scaled["matrix"] == kind].groupby("layer")):
            name = f"trained here, {kind}" if number == 0 else None
            axes.plot(own["place"], own["value"], color=shade, lw=0.9, label=name)
    # Square like the trained matrices, so that one curve is the law of both.
    shape = SHAPES["q"]
    expected = law(shape, DEVIATION)
    top = edge(shape, DEVIATION)
    axes.plot(expected["place"], expected["value"] / top, color=colour("null"), lw=1.6)
    own = readings[readings["matrix"] == "q"]
    place = (own["index"] + 0.5) / min(shape)
    axes.plot(place, own["value"] / top, "o", color=colour("sft"), ms=4, mfc="none", zorder=4)
    axes.set(
        title="A trained model", xlabel="place in the spectrum (share of rank)",
        ylabel="value / edge of the law", xlim=(-0.03, 1.03), ylim=(0, scaled["value"].max() * 1.1),
    )  # fmt: skip
    axes.legend(loc="upper right")


def _distances(axes: Axes, distances: pd.DataFrame, measured: pd.DataFrame) -> None:
    def of(source: str, quantity: str) -> pd.Series:
        own = (measured["source"] == source) & (measured["quantity"] == quantity)
        return measured[own]["value"]

    rows: tuple[tuple[str, pd.Series, Role], ...] = (
        ("random\ndraws", of("random", "distance"), "null"),
        ("released", distances["distance"], "sft"),
        ("trained\nhere", of("trained", "distance_at_places"), "id"),
    )
    for place, (_, values, role) in enumerate(rows):
        # Jitter across the row, so that equal values do not hide each other.
        across = place + 0.24 * np.linspace(-1, 1, len(values))
        axes.plot(values, across, "o", color=colour(role), ms=3, alpha=0.7)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set(title="Kolmogorov distance", xlabel="distance from the law", xscale="log")
    axes.set_ylim(len(rows) - 0.5, -0.5)
