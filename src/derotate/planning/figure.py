# SPDX-License-Identifier: MIT
"""Figure of a plan: device hours by stage, and the claims that they serve."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from derotate.figures.style import canvas, colour, styled


@styled
def draw(stages: pd.DataFrame, claims: pd.DataFrame, title: str, device: str) -> Figure:
    """Draw hours by stage for plan and whole grid, and runs by claim (primary claims darker).

    Args:
        stages: from `planning.tables.stages`.
        claims: from `planning.tables.claims`.
        title: one line.
        device: unit of the hours, a core or a GPU.
    """
    figure, ((left, right),) = canvas(1, 2, row_height=3.4)
    _hours(left, stages, device)
    _claims(right, claims)
    figure.suptitle(title, fontsize=8.5, x=0.01, ha="left", fontweight="bold")
    return figure


def _hours(axes: Axes, stages: pd.DataFrame, device: str) -> None:
    places = range(len(stages))
    axes.barh(places, stages["grid_hours"], color="white", edgecolor=colour("muted"),
              linewidth=0.8, label="whole grid")  # fmt: skip
    axes.barh(places, stages["hours"], color=colour("grpo"), label="plan")
    for place, (own, every) in enumerate(zip(stages["hours"], stages["grid_hours"], strict=True)):
        axes.annotate(f" {own:.2f} of {every:.2f}" if every else " none", (every, place),
                      va="center", fontsize=7)  # fmt: skip
    axes.set_yticks(places, list(stages["stage"]))
    axes.invert_yaxis()
    axes.margins(x=0.35)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{device} hours")
    axes.set_title("What is spent")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")


def _claims(axes: Axes, claims: pd.DataFrame) -> None:
    most = max(1, int(claims["runs"].max()))
    for place, (weight, runs, reason) in enumerate(
        zip(claims["weight"], claims["runs"], claims["reason"], strict=True)
    ):
        axes.barh(place, runs, color=colour("surgery"), alpha=1.0 if weight > 1 else 0.45)
        if not runs:
            short = "not in this budget" if weight else reason.partition(":")[0].partition(";")[0]
            axes.text(0, place, f" {short}", va="center", fontsize=6.5, color=colour("muted"))
    axes.set_yticks(range(len(claims)), list(claims["claim"] + " " + claims["title"]))
    axes.tick_params(axis="y", labelsize=6.5)
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("runs that serve it (dark: primary claim)")
    axes.set_title("What it serves")
    axes.grid(axis="y", visible=False)
