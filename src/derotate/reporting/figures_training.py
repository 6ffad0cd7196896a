# SPDX-License-Identifier: MIT
"""Figures of RL training: advantages at the first update, and the course of each run."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derotate.reporting.drawing import algorithm_name, algorithm_role, base_note, say_all
from derotate.reporting.style import PAGE, canvas, colour, shades, styled

_CURVES = (
    ("reward_mean", "mean reward"),
    ("correct_share", "correct samples (%)"),
    ("entropy", "entropy (nats a token)"),
    ("kl_to_start", "KL to the start (nats a token)"),
    ("zero_variance_share", "groups without variance (%)"),
    ("response_length", "response length (tokens)"),
)
_STYLES = {"grpo": "-", "ppo": "--"}


@styled
def advantages(table: pd.DataFrame, first: pd.DataFrame) -> Figure:
    """Distribution of the advantages at the first update, a panel for each start.

    Several seeds are averaged, with a thin outline for each.

    Args:
        table: from `logs.advantages_by_start`.
        first: from `logs.rl_first_update`, for the share of groups without variance.
    """
    cells = sorted({tuple(cell) for cell in table[["base_seed", "algorithm"]].to_numpy()})
    starts = sorted(set(table["start"]))
    bases = sorted(set(table["base_seed"]))
    width = min(PAGE, 1.0 + 2.1 * max(len(starts), 1))
    figure, grid = canvas(max(len(cells), 1), max(len(starts), 1), width, 2.2, sharey=True)
    if not cells:
        say_all(grid, "no RL in this study")
    for row, (base_seed, algorithm) in zip(grid, cells, strict=False):
        for axes, start in zip(row, starts, strict=True):
            own, signal = (_run(some, base_seed, algorithm, start) for some in (table, first))
            _histogram(axes, own, algorithm)
            title = f"{algorithm_name(algorithm)} from step {start}"
            axes.set_title(title + base_note(base_seed, bases))
            axes.set_xlabel("advantage")
            if len(signal):
                flat, right = signal["zero_variance_share"].mean(), signal["correct_share"].mean()
                axes.text(
                    0.98, 0.97, f"{right:.0f} % correct\n{flat:.0f} % of groups\nwithout variance",
                    transform=axes.transAxes, ha="right", va="top", fontsize=7,
                )  # fmt: skip
        row[0].set_ylabel("share of responses (%)")
    if cells:
        top = max(axes.get_ylim()[1] for row in grid for axes in row)
        grid[0][0].set_ylim(0, top * 1.3)
    return figure


@styled
def rl_curves(log: pd.DataFrame) -> Figure:
    """Reward, correct samples, entropy, KL, groups without variance and length by update.

    Mean over seeds, a thin line for each; darker runs start later; PPO is dashed.

    Args:
        log: from `logs.rl_log`.
    """
    bases = sorted(set(log["base_seed"]))
    figure, grid = canvas(2 * max(len(bases), 1), 3, row_height=2.1)
    if not bases:
        say_all(grid, "no RL in this study")
    handles: dict[tuple[str, int], Line2D] = {}
    for place, base_seed in enumerate(bases):
        panels = [axes for row in grid[2 * place : 2 * place + 2] for axes in row]
        own = log[log["base_seed"] == base_seed]
        for algorithm, runs in own.groupby("algorithm"):
            starts = sorted(set(runs["start"]))
            tones = shades(algorithm_role(str(algorithm)), len(starts))
            for start, tone in zip(starts, tones, strict=True):
                style = _STYLES.get(str(algorithm), "-")
                run = runs[runs["start"] == start]
                for axes, (column, _) in zip(panels, _CURVES, strict=True):
                    _course(axes, run, column, tone, style)
                name = f"{algorithm_name(str(algorithm))} from {start}"
                handles[str(algorithm), start] = Line2D([], [], color=tone, ls=style, label=name)
        for axes, (_, title) in zip(panels, _CURVES, strict=True):
            axes.set(xlabel="update")
            # the longest title fills its panel
            note = base_note(base_seed, bases).replace(" (", "\n(")
            axes.set_title(title + note, fontsize=8)
    if handles:
        figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=3)
    return figure


def _run(table: pd.DataFrame, base_seed: int, algorithm: str, start: int) -> pd.DataFrame:
    same = (table["base_seed"] == base_seed) & (table["algorithm"] == algorithm)
    return table[same & (table["start"] == start)]


def _histogram(axes: Axes, own: pd.DataFrame, algorithm: str) -> None:
    shade = colour(algorithm_role(algorithm))
    mean = own.groupby(["bin_low", "bin_high"])["share"].sum().reset_index()
    mean["share"] /= max(own["seed"].nunique(), 1)
    widths = mean["bin_high"] - mean["bin_low"]
    axes.bar(mean["bin_low"], mean["share"], widths, align="edge", color=shade, alpha=0.75)
    if own["seed"].nunique() > 1:
        for _, one in own.groupby("seed"):
            edges = [*one["bin_low"], one["bin_high"].iloc[-1]]
            axes.stairs(one["share"], edges, color=colour("muted"), lw=0.7)


def _course(axes: Axes, run: pd.DataFrame, column: str, tone: str, style: str) -> None:
    if run["seed"].nunique() > 1:
        for _, one in run.groupby("seed"):
            axes.plot(one["update"], one[column], style, color=tone, lw=0.6, alpha=0.4)
    mean = run.groupby("update")[column].mean()
    axes.plot(mean.index, mean, style, color=tone)
