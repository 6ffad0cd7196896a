# SPDX-License-Identifier: MIT
"""Edits by the ID accuracy that they lose and the OOD accuracy that they gain."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derotate.analysis.edit_matches import unmatched
from derotate.analysis.select_rows import POOLED
from derotate.figures import label_placement as labels
from derotate.figures import published_panels as figures_published
from derotate.figures.shared import base_note
from derotate.figures.style import Role, colour, note, stacked, styled

_ROLES: dict[str, tuple[Role, str, str]] = {
    "recipe": ("surgery", "o", "edit"),
    "control": ("control", "s", "control"),
    "reference": ("sft", "*", "checkpoint"),
}
_LINEAR = 5
_NAMES = {"donor": "donor", "rl_end": "RL end"}


@styled
def surgery_plane(
    plane: pd.DataFrame,
    edits: pd.DataFrame,
    direction: str = "forward",
    published: pd.DataFrame | None = None,
) -> Figure:
    """Each recipe by ID accuracy lost and OOD accuracy gained, against the patient.

    Args:
        plane: from `contrasts.surgery_plane`.
        edits: surgery_edits.csv, for controls that could not be matched.
        direction: forward (OOD peak into SFT end) or reverse (SFT end into RL end).
        published: from `published.surgery`, drawn below ours; None for ours alone.
    """
    own = plane[(plane["direction"] == direction) & (plane["seed"] == POOLED)]
    bases = sorted(set(own["base_seed"]))
    models = [] if published is None else sorted(set(published["model"]))
    figure, panels = stacked([(1, 4.6)] * max(len(bases), 1) + [(len(models), 2.8)] * bool(models))
    if not bases:
        note(panels[0][0], f"no {direction} surgery in this study")
    for (axes,), base_seed in zip(panels, bases, strict=False):
        marks = own[own["base_seed"] == base_seed]
        _plane_points(axes, marks)
        fold = marks["id_fold"].iloc[0]
        scale = _compress_far_points(axes, marks)
        axes.set(
            xlabel=f"ID accuracy lost (points, {fold} problems{scale})",
            ylabel="OOD accuracy gained (points, test problems)",
        )
        patient = "SFT end" if direction == "forward" else "RL end"
        axes.set_title(f"Edits of the patient ({patient}){base_note(base_seed, bases)}")
        _label_plane(axes, marks, set(unmatched(edits[edits["base_seed"] == base_seed])))
    if published is not None:
        for axes, model in zip(panels[-1], models, strict=True):
            figures_published.surgery(axes, published, model)
        figures_published.name_origin(figure, published)
    return figure


def _plane_points(axes: Axes, marks: pd.DataFrame) -> None:
    axes.axhline(0, color=colour("muted"), lw=0.8)
    axes.axvline(0, color=colour("muted"), lw=0.8)
    handles = {}
    for role, (shade, marker, name) in _ROLES.items():
        some = marks[marks["role"] == role]
        across = [some["id_lost"] - some["id_lost_low"], some["id_lost_high"] - some["id_lost"]]
        up = [
            some["ood_gained"] - some["ood_gained_low"],
            some["ood_gained_high"] - some["ood_gained"],
        ]
        axes.errorbar(
            some["id_lost"], some["ood_gained"], up, across, fmt=marker, color=colour(shade),
            ecolor=colour(shade), elinewidth=0.5, alpha=0.35, ms=0,
        )  # fmt: skip
        (handles[role],) = axes.plot(
            some["id_lost"], some["ood_gained"], marker, color=colour(shade), label=name,
            markerfacecolor="white" if role == "control" else colour(shade),
            ms=9 if marker == "*" else 5, zorder=3,
        )  # fmt: skip
    patient = Line2D([], [], color="black", marker="P", ls="", label="patient")
    axes.plot(0, 0, "P", color="black", ms=6, zorder=4)
    shown = [handle for role, handle in handles.items() if role in set(marks["role"])]
    axes.legend(handles=[*shown, patient], loc="best")


def _compress_far_points(axes: Axes, marks: pd.DataFrame) -> str:
    """Compress the x axis beyond 5 points: edits that destroy the model are ten times as far out.

    Returns:
        A remark on the scale, for the axis label.
    """
    if marks["id_lost"].abs().max() <= 2 * _LINEAR:
        return ""
    left, right = axes.get_xlim()
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=2)
    ends = [sign * end for end in (10, 20, 50, 100) for sign in (-1, 1)]
    ticks = [tick for tick in (*ends, *range(-_LINEAR, _LINEAR + 1)) if left <= tick <= right]
    axes.set_xticks(ticks, [str(tick).replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(left, right)
    return f"; logarithmic beyond {_LINEAR}"


def _label_plane(axes: Axes, marks: pd.DataFrame, not_matched: set[str]) -> None:
    names = [
        f"{name} (not matched)" if name in not_matched else _NAMES.get(name, name)
        for name in marks["recipe"]
    ]
    shades = [colour(_ROLES[role][0]) for role in marks["role"]]
    spots = list(zip(marks["id_lost"], marks["ood_gained"], strict=True))
    labels.place(axes, [*spots, (0, 0)], [*names, "patient"], [*shades, "black"])
