# SPDX-License-Identifier: MIT
"""The phase diagram of forgetting: one run per cell, by learning rate and strength of the base."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from derotate.analysis.phase_diagram import LEARNED, MATCHED
from derotate.figures.shared import note_all, records
from derotate.figures.style import Role, canvas, colour, styled

_GRID = ["base_steps", "learning_rate"]
_HATCH = "////"


@styled
def phase(table: pd.DataFrame) -> Figure:
    """OOD points lost at the end, lost at equal ID accuracy, and gained from base to peak.

    Below the points is the half-width of their CI, or the step. Cells whose run never learned the
    task are hatched. Several runs of a cell are averaged; then only points are shown.

    Args:
        table: from `analysis.phase_diagram.phase`.
    """
    figure, (panels,) = canvas(1, 3, row_height=2.8, sharey=True)
    if table.empty:
        note_all([panels], "no phase diagram in this study")
        return figure
    cells = _cells(table)
    end = int(cells["end_step"].max())
    most = max(1.0, cells["end_lost"].max(), cells["matched_lost"].max())
    _heat_map(panels[0], cells, "end_lost", "ood", most)
    panels[0].set_title(f"Lost by step {end}")
    _heat_map(panels[1], cells, "matched_lost", "ood", most)
    panels[1].set_title(f"Lost when ID reaches {MATCHED:g} %")
    _heat_map(panels[2], cells, "gained", "ppo", max(1.0, cells["gained"].max()))
    panels[2].set_title("Gained, base to peak")
    panels[0].set_ylabel("pretraining steps of the base\n(and its OOD accuracy)")
    hatched = Patch(facecolor="white", edgecolor=colour("muted"), hatch=_HATCH)
    hatched.set_label(f"ID accuracy stays under {LEARNED:g} %")
    runs = len(table) // len(cells)
    unit = "points of OOD test accuracy"
    unit += f", mean of {runs} runs" if runs > 1 else ", ± half its 95 % interval, or at which step"
    figure.legend(handles=[hatched], title=unit, title_fontsize=7.5, loc="outside lower center")
    return figure


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: means over its runs, and the text below the points."""
    runs = table.astype({"matched_step": float, "learned": float})
    means = runs.drop(columns=["base_seed", "seed"]).groupby(_GRID).mean().reset_index()
    alone = len(means) == len(table)
    means["learned"] = means["learned"] == 1
    means["below_end_lost"] = [
        f"±{half:.1f}" if alone and pd.notna(half) else ""
        for half in (means["end_lost_high"] - means["end_lost_low"]) / 2
    ]
    for value, step in (("matched_lost", "matched_step"), ("gained", "peak_step")):
        means[f"below_{value}"] = [f"step {at:g}" if alone else "" for at in means[step]]
    return means


def _heat_map(axes: Axes, cells: pd.DataFrame, value: str, role: Role, most: float) -> None:
    """Heat map of a value by learning rate and base, weak bases below."""
    texts = cells.assign(
        text=[f"{row[value]:.1f}\n{row[f'below_{value}']}".strip() for row in records(cells)]
    )
    values, texts = (
        table.pivot(index="base_steps", columns="learning_rate", values=name)[::-1]
        for table, name in ((cells, value), (texts, "text"))
    )
    halo = withStroke(linewidth=1.5, foreground="white")
    readable: dict[str, Any] = {"color": "black", "path_effects": [halo]}
    sns.heatmap(
        values, ax=axes, annot=texts, fmt="", annot_kws={"fontsize": 7, **readable}, vmin=0,
        vmax=most, cbar=False, linewidths=1, cmap=sns.light_palette(colour(role), as_cmap=True),
    )  # fmt: skip
    for row in records(cells):
        place = (list(values.columns).index(row["learning_rate"]),
                 list(values.index).index(row["base_steps"]))  # fmt: skip
        if not row["learned"]:
            axes.add_patch(Rectangle(place, 1, 1, fill=False, hatch=_HATCH, lw=0,
                                     edgecolor=colour("muted"), alpha=0.4))  # fmt: skip
        if pd.isna(row[value]):
            axes.text(place[0] + 0.5, place[1] + 0.5, "never", ha="center", va="center",
                      fontsize=7, **readable)  # fmt: skip
    own = cells.groupby("base_steps")["base_ood"].mean()[values.index]
    axes.set(xlabel="learning rate of SFT", ylabel="")
    axes.set_xticklabels([f"{rate:g}" for rate in values.columns], rotation=0)
    axes.set_yticklabels([f"{steps:g}\n({ood:.1f} %)" for steps, ood in own.items()], rotation=0)
    axes.tick_params(length=0)
    axes.grid(False)
