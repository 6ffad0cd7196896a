# SPDX-License-Identifier: MIT
"""The tasks side by side: accuracy by SFT step, in and out of distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from derotate.analysis.select_rows import POOLED
from derotate.figures.shared import points, step_axis, suite
from derotate.figures.style import Role, canvas, colour, styled

_COLUMNS = 2


@dataclass(frozen=True)
class Curves:
    """The data of one task.

    Attributes:
        task: its name.
        accuracy: from `tables.accuracy_by_step`.
        chance: base_seed, seed, split, fold, chance in percent; empty if unknown.
    """

    task: str
    accuracy: pd.DataFrame
    chance: pd.DataFrame


@styled
def tasks(curves: Sequence[Curves]) -> Figure:
    """Accuracy by SFT step of each task, with OOD accuracy after RL and the chance level.

    There is one line per base, its seeds pooled; a diamond is RL from that step.
    """
    rows = -(-len(curves) // _COLUMNS)
    figure, grid = canvas(rows, _COLUMNS, row_height=2.3)
    panels = [axes for row in grid for axes in row]
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes, task in zip(panels, curves, strict=False):
        pooled = task.accuracy[task.accuracy["seed"] == POOLED]
        for split, fold, style, marker, name in (
            ("ood", "test", "-", "o", "OOD test"),
            ("id", "train", "-", "o", "ID, learned by SFT"),
            ("id", "test", "--", "s", "ID test"),
        ):
            role: Role = "ood" if split == "ood" else "id"
            for place, (_, own) in enumerate(suite(pooled, split, fold).groupby("base_seed")):
                line = own[own["stage"] != "rl"].sort_values("step")
                label = name if not place else None
                axes.plot(line["step"], line["accuracy"], style, color=colour(role),
                          marker=marker, ms=3.5, lw=1.4, label=label)  # fmt: skip
                points(axes, line, "accuracy", role, marker)
                if split == "ood":
                    healed = own[(own["stage"] == "rl") & (own["algorithm"] == "grpo")]
                    axes.plot(healed["step"], healed["accuracy"], "D", color=colour("grpo"), ms=4,
                              label="OOD test after GRPO" if not place else None)  # fmt: skip
        level = suite(task.chance, "ood", "test")["chance"] if len(task.chance) else pd.Series()
        if len(level) and level.iloc[0] > 0:
            axes.axhline(float(level.iloc[0]), color=colour("null"), lw=1, ls=":",
                         label="best constant answer, OOD")  # fmt: skip
        step_axis(axes)
        axes.set(ylabel="accuracy (%)", ylim=(0, 102))
        axes.set_title(task.task.replace("_", " "))
    handles: dict[str, Artist] = {}
    for axes in panels[: len(curves)]:
        own_handles, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, own_handles, strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=3)
    return figure
