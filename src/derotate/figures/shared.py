# SPDX-License-Identifier: MIT
"""Parts of several figures: curves with CIs, seeds, bases, algorithms, the step axis."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from derotate.analysis.select_rows import POOLED
from derotate.figures.style import Role, colour, note
from derotate.study.rl_algorithms import RL_ALGORITHMS

_TICKS: Final = [0, *(digit * 10**power for power in range(6) for digit in (1, 2, 5))]
_APART: Final = 0.08
"""Least distance of two ticks, as a share of the axis."""


def suite(table: pd.DataFrame, split: str, fold: str) -> pd.DataFrame:
    """Rows of one split and fold."""
    return table[(table["split"] == split) & (table["fold"] == fold)]


def seeds_of(table: pd.DataFrame) -> list[str]:
    """Seeds to draw with the pooled values: none if there is just one."""
    seeds = sorted(set(table["seed"]) - {POOLED}, key=lambda seed: (len(seed), seed))
    return seeds if len(seeds) > 1 else []


def base_note(base_seed: int, bases: list[int]) -> str:
    """The base, for the title of a panel; empty if there is one base."""
    return f" (base {base_seed})" if len(bases) > 1 else ""


def algorithm_role(algorithm: str) -> Role:
    """The role, and so the colour, of an RL algorithm."""
    return RL_ALGORITHMS[algorithm].role


def algorithm_name(algorithm: str) -> str:
    """The name of an RL algorithm in text."""
    return RL_ALGORITHMS[algorithm].short


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as mappings by column."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def note_all(grid: list[list[Axes]], text: str) -> None:
    """Put a note into every panel, in place of data."""
    for row in grid:
        for axes in row:
            note(axes, text)


def step_axis(axes: Axes) -> None:
    """Give a panel a square-root x axis of SFT steps, since early steps are close together."""
    last = axes.dataLim.x1
    axes.set_xlabel("SFT step (by square root)")
    if not np.isfinite(last):  # nothing is drawn
        return
    axes.set_xscale("function", functions=(_root, _square))
    low, high = _square(np.array([-0.04, 1.06]) * _root(last))
    axes.set_xlim(low, high)
    ticks = [tick for tick in _TICKS if tick <= last]
    shown: list[int] = []
    for tick in reversed(ticks):
        if not shown or _root(shown[-1]) - _root(tick) >= _APART * _root(last):
            shown.append(tick)
    axes.set_xticks(shown, minor=False)
    axes.set_xticks([], minor=True)


def shifted_right(axes: Axes, steps: pd.Series, share: float) -> pd.Series:
    """x positions to the right of the steps, by a share of the axis, in any scale."""
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
    """Values by `step` with their CIs."""
    axes.errorbar(
        table["step"], table[value], [table[value] - table["low"], table["high"] - table[value]],
        fmt=marker, color=colour(role), elinewidth=1, capsize=2, markersize=4,
    )  # fmt: skip


def curve(axes: Axes, table: pd.DataFrame, value: str, role: Role, style: str, name: str) -> None:
    """A value by `step`: pooled with its CI, one thin line per seed, the base in grey."""
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
