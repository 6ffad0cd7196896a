# SPDX-License-Identifier: MIT
"""Panels of the papers' numbers, for figures that show them below ours.

Each panel has its own scale: other models, other problems, five attempts instead of one. Call these
functions within `style.look()`; `published.as_tables` makes the tables. Colours are those of our
panels, markers distinguish the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from derotate.analysis.select_rows import LANDMARKS
from derotate.figures import label_placement as labels
from derotate.figures.shared import points, records
from derotate.figures.style import Role, colour, note
from derotate.published.as_tables import NAMES, PAPER, TASK, origin

_TERMS: Final = "One run a model, five attempts a problem"
STAGE_NAMES: Final = MappingProxyType(
    {"base": "base", "max_ood": "peak", "sft_end": "SFT\nend", "rl_end": "RL\nend"}
)
"""Names of the landmarks on an axis."""

# Marker and face colour distinguish the models.
_MARKERS: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {"Llama-3.2-11B-Vision-Instruct": ("o", None), "Qwen2.5-7B-Instruct": ("s", "white")}
)
_SPLITS: Final[Mapping[str, tuple[Role, str]]] = MappingProxyType(
    {"ood": ("ood", "out of distribution"), "id": ("id", "in distribution")}
)
_BESIDE: Final = 22
"""Offset to the right of a value after RL from its start, in SFT steps."""
_STAGE_ROLES: Final[Mapping[str, Role]] = MappingProxyType({"base": "base", "rl_end": "ppo"})
_APART: Final = 0.09
"""Offset of the two models to the left and right of a stage."""


def name_origin(figure: Figure, published: pd.DataFrame | None, also: str = "") -> None:
    """State below a figure the source and precision of its published numbers.

    Args:
        figure: with panels of this module.
        published: the table behind those panels; None without any.
        also: a first line about our own panels.
    """
    lines = [also] if also else []
    if published is not None:
        intervals = "; Wilson intervals by us" if "low" in published else ""
        lines += [f"Published: {origin(published)}.", f"{_TERMS}{intervals}."]
    text = "\n".join(lines)
    if text:
        figure.supxlabel(text, fontsize=7, color=colour("muted"))


def accuracy(axes: Axes, table: pd.DataFrame, split: str) -> None:
    """Accuracy by SFT step, with RL from each start, of all models of the papers.

    Args:
        axes: an empty panel.
        table: from `published.accuracy_by_step`.
        split: `ood` or `id`.
    """
    own = table[table["split"] == split]
    role, where = _SPLITS[split]
    axes.set_title(f"Published, {where}")
    if own.empty:
        note(axes, "no published value")
        return
    for model, line in own.groupby("model", sort=True):
        _line_and_rl(axes, line, role, *_MARKERS[str(model)])
    others = [Line2D([], [], color=colour("ppo"), marker="D", ls="", ms=4, label="after RL (PPO)")]
    if (own["stage"] == "base").any():
        others.append(Line2D([], [], color=colour("base"), marker="o", ls="", ms=4, label="base"))
    others.append(Line2D([], [], color=colour(role), ls=":", lw=1, label="landmarks only"))
    last = table["step"].max()
    axes.set(
        xlabel="SFT step",
        ylabel="accuracy (%)",
        xlim=(-0.05 * last, 1.07 * last),
        ylim=(0, own["high"].max() * 1.4),
    )
    axes.legend(
        handles=[*_models(own, role), *others], loc="upper right", ncols=2, columnspacing=1.2
    )


def stages(row: Sequence[Axes], table: pd.DataFrame, splits: Sequence[str]) -> None:
    """Accuracy at the landmarks of the papers: one panel per split, then one for the legend.

    A cross is a value that a later paper states differently.

    Args:
        row: empty panels, more than there are splits.
        table: from `published.stages`.
        splits: `ood` or `id`.
    """
    own = table[table["task"] == TASK]
    for axes, split in zip(row, splits, strict=False):
        _stage_panel(axes, own[own["split"] == split], _SPLITS[split][0])
        axes.set_title(f"Published, {split.upper()} rule", fontsize=7.5)
        axes.set_ylabel("accuracy (%)")
    for axes in row[len(splits) :]:
        axes.set_axis_off()
    if own.empty:
        return
    handles = _models(own, "muted")
    second = sorted(set(own["paper"]) - {PAPER})
    if second:
        name = f"as arXiv {', '.join(second)} has it"
        handles.append(Line2D([], [], color=colour("muted"), ls="", marker="x", ms=5, label=name))
    row[len(splits)].legend(handles=handles, loc="center left", borderaxespad=0)


def surgery(axes: Axes, table: pd.DataFrame, model: str) -> None:
    """Edits and landmarks of one model of the papers by ID and OOD accuracy, as printed.

    ID accuracy falls to the right, as in our panel, whose x axis is the ID loss.

    Args:
        axes: an empty panel.
        table: from `published.surgery`.
        model: one of the table.
    """
    own = table[table["model"] == model]
    axes.set_title(f"Published, {NAMES[model]}")
    if own.empty:
        note(axes, "no published value")
        return
    spots: list[tuple[float, float]] = []
    names, shades = [], []
    for mark, some in own.groupby("mark", sort=False):
        role, marker, name = _MARKS[str(mark)]
        face = "white" if mark in ("values", "directions") else colour(role)
        for row in records(some):
            low, high = row["ood_low"], row["ood_high"]
            if low < high:
                axes.plot([row["id"]] * 2, [low, high], color=colour(role), lw=1.2)
            axes.plot(
                row["id"], (low + high) / 2, marker, color=colour(role), mfc=face,
                ms=9 if marker == "*" else 4, zorder=3,
            )  # fmt: skip
        by_paper = [some] if mark == "values" else [own for _, own in some.groupby("paper")]
        for rows in by_paper:
            first = rows.iloc[0]
            spots.append((first["id"], (first["ood_low"] + first["ood_high"]) / 2))
            later = "" if first["paper"] == PAPER else f" ({first['paper']})"
            names.append(name.format(low=rows["size"].min(), high=rows["size"].max()) + later)
            shades.append(colour(role))
    right, left = own["id"].min(), own["id"].max()
    room = 0.22 * (left - right)
    axes.set(
        xlim=(left + room, right - room),
        ylim=(0, 1.25 * own["ood_high"].max()),
        xlabel="ID accuracy (%), falling to the right",
        ylabel="OOD accuracy (%)",
    )
    labels.place(axes, spots, names, shades)


_MARKS: Final[Mapping[str, tuple[Role, str, str]]] = MappingProxyType(
    {
        "max_ood": ("sft", "*", "donor"),
        "sft_end": ("sft", "*", "patient"),
        "rl_end": ("sft", "*", "RL end"),
        "values": ("surgery", "o", "values, top {low} to {high}\n(in doubt)"),
        "directions": ("surgery", "o", "directions\n(read by others)"),
    }
)


def _models(own: pd.DataFrame, role: Role) -> list[Line2D]:
    """One legend entry per model, with its number of problems."""
    handles = []
    for model, line in own.groupby("model", sort=True):
        marker, face = _MARKERS[str(model)]
        label = f"{NAMES[str(model)]}, n = {int(line['n'].iloc[0])}"
        handles.append(
            Line2D([], [], color=colour(role), ls="", marker=marker, ms=4, mfc=face, label=label)
        )
    return handles


def _is_sweep(line: pd.DataFrame) -> bool:
    """Whether there are more SFT steps than the two landmarks, so that a line is meaningful."""
    return int((line["stage"] == "sft").sum()) > 2


def _line_and_rl(axes: Axes, line: pd.DataFrame, role: Role, marker: str, face: str | None) -> None:
    """SFT with CIs; a thin line leads from each start to its value after RL."""
    sft = line[line["stage"] != "rl"].sort_values("step")
    style, width = ("-", 1.4) if _is_sweep(line) else (":", 1.0)
    axes.plot(sft["step"], sft["accuracy"], style, color=colour(role), lw=width)
    before = sft.set_index("step")["accuracy"]
    after = line[(line["stage"] == "rl") & line["step"].isin(before.index)]
    # To the right of the start, so that both intervals are visible.
    shifted = after.assign(step=after["step"] + _BESIDE)
    for start, row in zip(after["step"], records(shifted), strict=True):
        axes.plot(
            [start, row["step"]], [before[start], row["accuracy"]], color=colour("ppo"), lw=0.9
        )
    for some, shade, shape in (
        (sft[sft["stage"] == "sft"], role, marker),
        (sft[sft["stage"] == "base"], "base", marker),
        (shifted, "ppo", "D"),
    ):
        _points(axes, some, shade, shape, face)


def _stage_panel(axes: Axes, own: pd.DataFrame, role: Role) -> None:
    if own.empty:
        note(axes, "no published value")
        return
    placed = own.assign(step=own["landmark"].map(LANDMARKS.index)).sort_values("step")
    best = placed[placed["paper"] == PAPER].groupby("landmark")["accuracy"].max()
    for side, (model, line) in zip((-1, 1), placed.groupby("model", sort=True), strict=False):
        marker, face = _MARKERS[str(model)]
        line = line.assign(step=line["step"] + side * _APART)
        first = line[line["paper"] == PAPER]
        axes.plot(first["step"], first["accuracy"], color=colour(role), lw=1.2)
        for row in records(first):
            shade = _STAGE_ROLES.get(row["landmark"], role)
            _points(axes, pd.DataFrame([row]), shade, marker, face)
            above = row["accuracy"] == best[row["landmark"]]
            axes.annotate(
                f"{row['accuracy']:.0f}", (row["step"], row["high"] if above else row["low"]),
                (0, 2 if above else -9), textcoords="offset points", fontsize=7.5, ha="center",
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip
        later = line[line["paper"] != PAPER]
        axes.plot(later["step"] + 0.2, later["accuracy"], "x", color=colour("muted"), ms=5)
    axes.set_xticks(range(len(LANDMARKS)), [STAGE_NAMES[name] for name in LANDMARKS])
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(-0.5, len(LANDMARKS) - 0.5)
    axes.set_ylim(0, 1.12 * own["high"].max())
    axes.grid(False, axis="x")


def _points(axes: Axes, some: pd.DataFrame, shade: Role, marker: str, face: str | None) -> None:
    """Values by `step` with their CIs, with the marker face of the model."""
    points(axes, some, "accuracy", shade, marker)
    if face:
        axes.plot(
            some["step"], some["accuracy"], marker, color=colour(shade), ms=4, mfc=face, zorder=3
        )
