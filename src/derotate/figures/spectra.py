# SPDX-License-Identifier: MIT
"""Figures of the spectra: changes of singular values and vectors, with their null models.

`spectra` is the table of `derotate.analysis.spectra.by_index`: kind, against, metric, fraction,
index, value (mean over layers and runs), low and high (their range). `against` is `patient` for
the measured pair and the name of a null model otherwise. Lines are the means, bands the range.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derotate.analysis.spectra import MEASURED
from derotate.figures.shared import note_all
from derotate.figures.style import Role, canvas, colour, styled

_ORDER = ("q", "k", "v", "o", "gate", "up", "down", "embed", "head")
_NULL_NAMES = {
    "norm": "random change of equal norm",
    "unrelated": "unrelated matrices",
}
_NULL_STYLES = ("--", ":", "-.")
_SIDES: dict[str, Role] = {"left_principal_angle": "sft", "right_principal_angle": "surgery"}
_PRINCIPAL = tuple(_SIDES)
CHANGE_LIMIT = 12.0
"""Limit of the axis of relative changes, in percent; larger changes are cut."""


@styled
def singular_values(spectra: pd.DataFrame) -> Figure:
    """Singular values before and after, and their relative change in percent, by kind of matrix."""
    kinds = _kinds(spectra)
    figure, grid = canvas(2, max(len(kinds), 1), row_height=1.9, sharey="row")
    if not kinds:
        note_all(grid, "no spectra in this study")
        return figure
    for (top, bottom), kind in zip(zip(*grid, strict=True), kinds, strict=True):
        own = spectra[spectra["kind"] == kind]
        before, after = (_against(own, metric) for metric in ("donor_value", "patient_value"))
        _line(top, before, "base", "-", band=False)
        _line(top, after, "sft", "--", band=False)
        _line(bottom, _percent(_against(own, "value_change")), "sft", "-")
        bottom.axhline(0, color=colour("muted"), lw=0.8)
        for place, null in enumerate(_nulls(own, ("value_change",))):
            line = _percent(_against(own, "value_change", null))
            _line(bottom, line, "null", _NULL_STYLES[place % 3])
        top.set_title(kind)
        top.set_ylim(0, None)
        bottom.set_xlabel("index")
    # The smallest singular values are near 0: their relative changes would hide all others.
    grid[1][0].set_ylim(-CHANGE_LIMIT, CHANGE_LIMIT)
    grid[0][0].set_ylabel("singular value")
    grid[1][0].set_ylabel("relative change (%)")
    nulls = _nulls(spectra, ("value_change",))
    figure.legend(
        handles=[
            Line2D([], [], color=colour("base"), label="donor"),
            Line2D([], [], color=colour("sft"), ls="--", label="patient"),
            Line2D([], [], color=colour("sft"), label="change (band: range over layers, seeds)"),
            *_null_handles(nulls),
        ],
        loc="outside lower center", ncols=3,
    )  # fmt: skip
    return figure


@styled
def angles(spectra: pd.DataFrame, fraction: float) -> Figure:
    """Principal angles of the top subspaces by index with their null models, by kind of matrix.

    Args:
        spectra: see the module.
        fraction: top share of the rank that spans the subspaces; one of the table.
    """
    known = spectra[spectra["metric"].isin(_PRINCIPAL)]
    some = known[(known["fraction"] - fraction).abs() < 1e-9]
    kinds = _kinds(some)
    columns = min(max(len(kinds), 1), 4)
    figure, grid = canvas(max(-(-len(kinds) // columns), 1), columns, row_height=2.0, sharey=True)
    if not kinds:
        note_all(grid, f"no principal angles of the top {100 * fraction:g} % in this study")
        return figure
    panels = [axes for row in grid for axes in row]
    nulls = _nulls(some, _PRINCIPAL)
    for axes, kind in zip(panels, kinds, strict=False):
        own = some[some["kind"] == kind]
        for metric, role in _SIDES.items():
            _line(axes, _against(own, metric), role, "-")
        for place, null in enumerate(nulls):
            for metric in _PRINCIPAL:
                _line(axes, _against(own, metric, null), "control", _NULL_STYLES[place % 3], False)
        axes.set_title(kind)
        axes.set_yscale("log")
        axes.set_ylim(0.3, 92)
        axes.set_yticks([1, 3, 10, 30, 90], labels=["1", "3", "10", "30", "90"])
        axes.minorticks_off()
        axes.set_xlabel("index")
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("principal angle (degrees)")
    figure.suptitle(f"Subspaces of the top {100 * fraction:g} % of singular vectors", fontsize=8.5)
    figure.legend(
        handles=[
            Line2D([], [], color=colour("sft"), label="left vectors"),
            Line2D([], [], color=colour("surgery"), label="right vectors"),
            *_null_handles(nulls),
        ],
        loc="outside lower center", ncols=4,
    )  # fmt: skip
    return figure


def _kinds(spectra: pd.DataFrame) -> list[str]:
    known = set(spectra["kind"])
    return [kind for kind in _ORDER if kind in known] + sorted(known - set(_ORDER))


def _nulls(spectra: pd.DataFrame, metrics: tuple[str, ...]) -> list[str]:
    return sorted(set(spectra[spectra["metric"].isin(metrics)]["against"]) - {MEASURED})


def _null_handles(nulls: list[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour("control"), ls=_NULL_STYLES[place % 3], lw=1,
               label=f"null: {_NULL_NAMES.get(name.removesuffix('_null'), name)}")
        for place, name in enumerate(nulls)
    ]  # fmt: skip


def _against(spectra: pd.DataFrame, metric: str, against: str = MEASURED) -> pd.DataFrame:
    return spectra[(spectra["metric"] == metric) & (spectra["against"] == against)]


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: 100 * table[name] for name in ("value", "low", "high")})


def _line(axes: Axes, table: pd.DataFrame, role: Role, style: str, band: bool = True) -> None:
    """Mean by index over layers and runs, with their range."""
    if table.empty:
        return
    course = table.sort_values("index")
    thin = 1.0 if role in ("null", "control") else 1.4
    axes.plot(course["index"], course["value"], style, color=colour(role), lw=thin)
    if band:
        ends = course["low"], course["high"]
        axes.fill_between(course["index"], *ends, color=colour(role), alpha=0.18, lw=0)
