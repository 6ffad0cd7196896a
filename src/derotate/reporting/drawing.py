# SPDX-License-Identifier: MIT
"""What several figures draw: a suite's curve with its intervals, seeds, bases, algorithms."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from derotate.reporting.cells import POOLED
from derotate.reporting.style import Role, colour, say


def suite(table: pd.DataFrame, split: str, fold: str) -> pd.DataFrame:
    """Rows of one split and fold."""
    return table[(table["split"] == split) & (table["fold"] == fold)]


def seeds_of(table: pd.DataFrame) -> list[str]:
    """Seeds to draw beside the pooled values: none if there is just one."""
    seeds = sorted(set(table["seed"]) - {POOLED}, key=lambda seed: (len(seed), seed))
    return seeds if len(seeds) > 1 else []


def base_note(base_seed: int, bases: list[int]) -> str:
    """What a title adds where there are several bases."""
    return f" (base {base_seed})" if len(bases) > 1 else ""


def algorithm_role(algorithm: str) -> Role:
    """The role of an RL algorithm, which has its colour."""
    return "ppo" if algorithm == "ppo" else "control" if algorithm == "shuffled" else "grpo"


def algorithm_name(algorithm: str) -> str:
    """An RL algorithm as it is written in text."""
    return "shuffled rewards" if algorithm == "shuffled" else algorithm.upper()


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each a mapping by column."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def say_all(grid: list[list[Axes]], text: str) -> None:
    """Say in every panel why there is nothing to draw."""
    for row in grid:
        for axes in row:
            say(axes, text)


def points(axes: Axes, table: pd.DataFrame, value: str, role: Role, marker: str) -> None:
    """Values by `step` with their intervals."""
    axes.errorbar(
        table["step"], table[value], [table[value] - table["low"], table["high"] - table[value]],
        fmt=marker, color=colour(role), elinewidth=1, capsize=2, markersize=4,
    )  # fmt: skip


def curve(axes: Axes, table: pd.DataFrame, value: str, role: Role, style: str, name: str) -> None:
    """A value by `step`: pooled with its interval, a thin line a seed, the base in grey."""
    for seed in seeds_of(table):
        own = table[table["seed"] == seed].sort_values("step")
        axes.plot(own["step"], own[value], style, color=colour(role), lw=0.8, alpha=0.45)
    pooled = table[table["seed"] == POOLED].sort_values("step")
    marker = "o" if style == "-" else "s"
    axes.plot(
        pooled["step"], pooled[value], style, color=colour(role), marker=marker, ms=4, label=name
    )
    points(axes, pooled[pooled["stage"] != "base"], value, role, marker)
    points(axes, pooled[pooled["stage"] == "base"], value, "base", marker)
