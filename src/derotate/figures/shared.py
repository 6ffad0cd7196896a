# SPDX-License-Identifier: MIT
"""What several figures draw: a suite's curve with its intervals, seeds, bases, algorithms."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from derotate.analysis.select_rows import POOLED
from derotate.figures.style import Role, colour, say
from derotate.study.rl_algorithms import RL_ALGORITHMS

_TICKS: Final = [0, *(digit * 10**power for power in range(6) for digit in (1, 2, 5))]
_APART: Final = 0.08
"""Share of the axis by which ticks stand apart at least."""


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
    return RL_ALGORITHMS[algorithm].role


def algorithm_name(algorithm: str) -> str:
    """An RL algorithm as it is written in text."""
    return RL_ALGORITHMS[algorithm].short


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each a mapping by column."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def say_all(grid: list[list[Axes]], text: str) -> None:
    """Say in every panel why there is nothing to draw."""
    for row in grid:
        for axes in row:
            say(axes, text)


def step_axis(axes: Axes) -> None:
    """Give a panel an x axis of SFT steps by their square root, since early ones lie close."""
    last = axes.dataLim.x1
    axes.set_xlabel("SFT step (by square root)")
    if not np.isfinite(last):  # nothing is drawn
        return
    axes.set_xscale("function", functions=(_root, _square))
    low, high = _square(np.array([-0.04, 1.06]) * _root(last))
    axes.set_xlim(low, high)
    ticks = [tick for tick in _TICKS if tick <= last]
    kept: list[int] = []
    for tick in reversed(ticks):
        if not kept or _root(kept[-1]) - _root(tick) >= _APART * _root(last):
            kept.append(tick)
    axes.set_xticks(kept, minor=False)
    axes.set_xticks([], minor=True)


def beside(axes: Axes, steps: pd.Series, share: float) -> pd.Series:
    """Places that share of the axis to the right of the steps, whatever its scale."""
    scale = axes.xaxis.get_transform()
    low, high = scale.transform(np.asarray(axes.get_xlim()))
    moved = scale.transform(steps.to_numpy(dtype=float)) + share * (high - low)
    return pd.Series(scale.inverted().transform(moved), index=steps.index)


def _root(steps: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(steps, dtype=float)
    return np.sign(values) * np.sqrt(np.abs(values))


def _square(roots: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(roots, dtype=float)
    return np.sign(values) * values**2


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
