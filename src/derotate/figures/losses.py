# SPDX-License-Identifier: MIT
"""Losses by step, and the step that each selection criterion would choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derotate.analysis.select_rows import POOLED
from derotate.figures.shared import base_note, curve, note_all, records, step_axis, suite
from derotate.figures.style import canvas, colour, note, styled


@styled
def losses(loss: pd.DataFrame, picks: pd.DataFrame) -> Figure:
    """Loss by SFT step, and the step that each criterion selects, with its OOD accuracy.

    Args:
        loss: from `tables.loss_by_step`.
        picks: from `tables.picks`.
    """
    bases = sorted(set(loss["base_seed"]))
    figure, grid = canvas(max(len(bases), 1), 2)
    if not bases:
        note_all(grid, "no losses yet")
    for (left, right), base_seed in zip(grid, bases, strict=False):
        own = loss[loss["base_seed"] == base_seed]
        for split, fold, style, name in (
            ("ood", "selection", "-", "OOD selection"), ("id", "train", "-", "ID, learned by SFT"),
            ("id", "test", "--", "ID test"),
        ):  # fmt: skip
            curve(
                left,
                suite(own, split, fold),
                "loss",
                "ood" if split == "ood" else "id",
                style,
                name,
            )
        step_axis(left)
        left.set(ylabel="loss (nats a token)", ylim=(0, None))
        left.set_title(f"Loss of the reference answer{base_note(base_seed, bases)}")
        chosen = picks[(picks["base_seed"] == base_seed) & (picks["seed"] == POOLED)]
        _mark_picks(left, own[own["seed"] == POOLED], chosen)
        _selected_steps(right, chosen)
        right.set_title("What each criterion would pick")
    handles, names = grid[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _mark_picks(axes: Axes, pooled: pd.DataFrame, chosen: pd.DataFrame) -> None:
    """A ring at the minimum of each loss that is a selection criterion."""
    drawn = {("ood", "selection"), ("id", "test")}
    for row in records(chosen[chosen["criterion"] == "lowest loss"]):
        curve_of = suite(pooled, row["split"], row["fold"])
        value = float(curve_of[curve_of["step"] == row["step"]]["loss"].iloc[0])
        if (row["split"], row["fold"]) in drawn:
            axes.plot(row["step"], value, "o", ms=10, mfc="none", mec=colour("muted"), mew=1.2)
    axes.plot(
        [], [], "o", ms=10, mfc="none", mec=colour("muted"), mew=1.2, label="lowest after SFT"
    )


def _selected_steps(axes: Axes, picks: pd.DataFrame) -> None:
    """OOD test accuracy of the step that each criterion selects, as labelled bars."""
    if picks.empty:
        note(axes, "no step to pick")
        return
    rows = records(picks)
    axes.barh(range(len(rows)), picks["accuracy"], color=colour("ood"), alpha=0.75, height=0.6)
    for place, row in enumerate(rows):
        text = f"step {row['step']}: {row['accuracy']:.1f} %"
        at = (row["accuracy"], place)
        axes.annotate(
            text, at, (5, 0), textcoords="offset points", va="center", fontsize=7.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    best, step = rows[0]["best"], rows[0]["best_step"]
    axes.axvline(best, color=colour("muted"), lw=1, ls=":", zorder=0.9)
    axes.text(best, -0.75, f"best: step {step}", fontsize=7.5, ha="right", color=colour("muted"))
    axes.set_yticks(range(len(rows)), [_criterion(row) for row in rows])
    axes.set(xlabel="OOD test accuracy (%)", xlim=(0, best * 1.55), ylim=(len(rows) - 0.5, -1.1))
    axes.grid(False, axis="y")


def _criterion(row: Mapping[str, Any]) -> str:
    suite_name = f",\n{row['split'].upper()} {row['fold']}" if row["split"] else ""
    return f"{row['criterion']}{suite_name}"
