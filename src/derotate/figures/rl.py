# SPDX-License-Identifier: MIT
"""Figures of RL training: advantages at the first update, and the course of each run."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derotate.figures.shared import algorithm_name, algorithm_role, base_note, note_all
from derotate.figures.style import PAGE, canvas, colour, shades, styled

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
    """Advantages at the first update: one row of panels per algorithm, one panel per start.

    Bases and seeds are averaged, with a thin outline for each base.

    Args:
        table: from `logs.advantages_by_start`.
        first: from `logs.rl_first_update`, for correct samples and zero-variance groups.
    """
    algorithms = sorted(set(table["algorithm"]))
    if not algorithms:
        figure, grid = canvas()
        note_all(grid, "no RL in this study")
        return figure
    starts = {name: sorted(set(table[table["algorithm"] == name]["start"])) for name in algorithms}
    widest = max(len(own) for own in starts.values())
    width = min(PAGE, 1.0 + 2.1 * widest)
    figure, grid = canvas(len(algorithms), widest, width, 1.7, sharey="row")
    for row, (algorithm, own_starts) in zip(grid, starts.items(), strict=True):
        for axes in row[len(own_starts) :]:
            axes.set_visible(False)
        for axes, start in zip(row, own_starts, strict=False):
            own, signal = (_run(some, algorithm, start) for some in (table, first))
            _histogram(axes, own, algorithm)
            axes.set_title(f"from step {start}\n{_signal(signal)}", fontsize=7, fontweight="normal")
        row[0].set_ylabel(f"{algorithm_name(algorithm)}\nresponses (%)")
        row[len(own_starts) // 2].set_xlabel("advantage")
    return figure


@styled
def rl_curves(log: pd.DataFrame) -> Figure:
    """Reward, correct samples, entropy, KL, zero-variance groups and length by update.

    Mean over seeds, a thin line for each; darker runs start later; PPO is dashed.

    Args:
        log: from `logs.rl_log`.
    """
    bases = sorted(set(log["base_seed"]))
    figure, grid = canvas(2 * max(len(bases), 1), 3, row_height=2.1)
    if not bases:
        note_all(grid, "no RL in this study")
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
            # The longest title fills its panel, so the base goes to a second line.
            base = base_note(base_seed, bases).replace(" (", "\n(")
            axes.set_title(title + base, fontsize=8)
    if handles:
        figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=3)
    return figure


def _run(table: pd.DataFrame, algorithm: str, start: int) -> pd.DataFrame:
    return table[(table["algorithm"] == algorithm) & (table["start"] == start)]


def _signal(first: pd.DataFrame) -> str:
    """Share of correct samples and of zero-variance groups; PPO has no groups."""
    if first.empty:
        return ""
    right, flat = first["correct_share"].mean(), first["zero_variance_share"].mean()
    groups = "" if pd.isna(flat) else f"\n{flat:.0f} % flat groups"
    return f"{right:.0f} % correct{groups}"


def _histogram(axes: Axes, own: pd.DataFrame, algorithm: str) -> None:
    shade = colour(algorithm_role(algorithm))
    mean = _mean_of_runs(own)
    widths = mean["bin_high"] - mean["bin_low"]
    axes.bar(mean["bin_low"], mean["share"], widths, align="edge", color=shade, alpha=0.75)
    if own["base_seed"].nunique() > 1:
        for _, runs in own.groupby("base_seed"):
            one = _mean_of_runs(runs)
            axes.stairs(
                one["share"], [*one["bin_low"], one["bin_high"].iloc[-1]],
                color=colour("muted"), lw=0.7,
            )  # fmt: skip


def _mean_of_runs(own: pd.DataFrame) -> pd.DataFrame:
    """Shares by bin, averaged over runs; a bin that a run lacks counts as 0."""
    runs = len(own[["base_seed", "seed"]].drop_duplicates())
    mean = own.groupby(["bin_low", "bin_high"])["share"].sum().reset_index()
    return mean.assign(share=mean["share"] / max(runs, 1))


def _course(axes: Axes, run: pd.DataFrame, column: str, tone: str, style: str) -> None:
    if run["seed"].nunique() > 1:
        for _, one in run.groupby("seed"):
            axes.plot(one["update"], one[column], style, color=tone, lw=0.6, alpha=0.4)
    mean = run.groupby("update")[column].mean()
    axes.plot(mean.index, mean, style, color=tone)
