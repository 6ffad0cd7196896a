# SPDX-License-Identifier: MIT
"""Figures of the evaluations: accuracy by step, RL from each start, error kinds, stages.

Each function takes tidy tables of `derotate.analysis.accuracy` and returns a figure. Pooled values
are bold with their 95 % CI; each of several seeds is a thin line. There is one row of panels per
base. A panel without data holds a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from derotate.analysis.select_rows import LANDMARKS, POOLED
from derotate.figures import published_panels as figures_published
from derotate.figures.published_panels import STAGE_NAMES
from derotate.figures.shared import (
    algorithm_name,
    algorithm_role,
    base_note,
    curve,
    note_all,
    points,
    records,
    seeds_of,
    shifted_right,
    step_axis,
    suite,
)
from derotate.figures.style import PAGE, Role, canvas, colour, kind_colours, note, stacked, styled
from derotate.study.checkpoint import Checkpoint

_ID_FOLDS = (("train", "-", "learned by SFT"), ("test", "--", "held out"))
_SHORT = {"": "SFT", "shuffled": "shuffled"}
"""Names of groups of bars that differ from `algorithm_name`."""
_PUBLISHED_SPLITS = ("ood", "id")
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@styled
def accuracy_by_step(accuracy: pd.DataFrame) -> Figure:
    """Accuracy by SFT step, out of and in distribution, from `tables.accuracy_by_step`."""
    bases = sorted(set(accuracy["base_seed"]))
    figure, grid = canvas(max(len(bases), 1), 2)
    for row, base_seed in zip(grid, bases, strict=False):
        own = accuracy[(accuracy["base_seed"] == base_seed) & (accuracy["stage"] != "rl")]
        _sft_panels(row, own, base_note(base_seed, bases))
        _mark_peak(row[0], suite(own, "ood", "test"))
    if not bases:
        note_all(grid, "no evaluation yet")
    _legend_above(figure, _sft_handles(accuracy))
    return figure


@styled
def sft_and_rl(accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """The papers' main figure: accuracy by SFT step, and after RL from each start.

    Args:
        accuracy: from `tables.accuracy_by_step`.
        published: from `published.accuracy_by_step`, drawn below ours; None for ours alone.
    """
    bases = sorted(set(accuracy["base_seed"]))
    algorithms = sorted(set(accuracy["algorithm"]) - {""})
    ours = max(len(bases), 1)
    figure, grid = canvas(ours + (published is not None), 2)
    if published is not None:
        for axes, split in zip(grid[ours], _PUBLISHED_SPLITS, strict=True):
            figures_published.accuracy(axes, published, split)
        figures_published.name_origin(figure, published)
    for row, base_seed in zip(grid, bases, strict=False):
        own = accuracy[accuracy["base_seed"] == base_seed]
        _sft_panels(row, own, base_note(base_seed, bases))
        for place, algorithm in enumerate(algorithms):
            for axes, split, fold in (
                (row[0], "ood", "test"), (row[1], "id", "train"), (row[1], "id", "test"),
            ):  # fmt: skip
                _rl_arrows(axes, suite(own, split, fold), algorithm, place)
        _mark_peak(row[0], suite(own, "ood", "test"))
        if not algorithms:
            row[0].annotate(
                "no RL result in this study", (0.98, 0.03), xycoords="axes fraction",
                ha="right", color=colour("muted"), fontsize=7.5,
            )  # fmt: skip
    if not bases:
        note_all(grid[:ours], "no evaluation yet")
    after = [
        Line2D([], [], color=colour(algorithm_role(name)), marker="D", ls="",
               label=f"after RL ({algorithm_name(name)})")
        for name in algorithms
    ]  # fmt: skip
    _legend_above(figure, [*_sft_handles(accuracy), *after])
    return figure


@styled
def errors_by_step(errors: pd.DataFrame) -> Figure:
    """Shares of the error kinds by SFT step and after RL: one column per base, one row per suite.

    Args:
        errors: from `tables.errors_by_step`.
    """
    pooled = errors[errors["seed"] == POOLED]
    bases = sorted(set(pooled["base_seed"]))
    suites = [("ood", "test"), ("id", "test"), ("id", "train")]
    columns = max(len(bases), 1)
    width = min(PAGE, 1.2 + 3.4 * columns)
    figure, grid = canvas(len(suites), columns, width, 2.0, sharey=True)
    kinds = list(dict.fromkeys(pooled["kind"]))
    colours = kind_colours(kinds)
    if not bases:
        note_all(grid, "no evaluation yet")
    for row, (split, fold) in zip(grid, suites, strict=True):
        for axes, base_seed in zip(row, bases, strict=False):
            own = suite(pooled[pooled["base_seed"] == base_seed], split, fold)
            _stacked(axes, own, colours)
            axes.set_title(f"{split.upper()} {fold}{base_note(base_seed, bases)}")
        row[0].set_ylabel("share of answers (%)")
    for axes in grid[-1] if bases else []:
        axes.set_xlabel("SFT step; RL by its start", labelpad=15)  # below the names of the groups
    handles = [Line2D([], [], color=colours[kind], marker="s", ls="", label=_kind_name(kind))
               for kind in kinds]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if columns == 1 else 5)
    return figure


@styled
def stages(
    table: pd.DataFrame,
    published: pd.DataFrame | None = None,
    splits: Mapping[str, str] = _NO_NAMES,
) -> Figure:
    """Accuracy of base, OOD peak, SFT end and RL end on every suite.

    Args:
        table: from `tables.stages`.
        published: from `published.stages`, drawn below ours; None for ours alone.
        splits: names of the splits; a split without a name keeps that of the table.
    """
    controls = sorted(set(table["split"]) - {"ood", "id"})
    wanted = [("ood", "test"), ("id", "train"), ("id", "test")]
    wanted += [(split, "test") for split in controls]
    suites = [pair for pair in wanted if len(suite(table, *pair))]
    bases = sorted(set(table["base_seed"]))
    ours = max(len(bases), 1)
    rows = [(max(len(suites), 1), 2.3)] * ours
    if published is not None:
        rows.append((len(_PUBLISHED_SPLITS) + 1, 2.3))
    figure, grid = stacked(rows)
    if not suites:
        note_all(grid[:ours], "no landmark was evaluated")
    for row, base_seed in zip(grid, bases, strict=False):
        for axes, (split, fold) in zip(row, suites, strict=True):
            own = suite(table[table["base_seed"] == base_seed], split, fold)
            _stage_points(axes, own, "ood" if split.startswith("ood") else "id")
            axes.set_title(
                f"{splits.get(split, split)},\n{fold}{base_note(base_seed, bases)}", fontsize=7.5
            )
        row[0].set_ylabel("accuracy (%)")
    if published is not None:
        figures_published.stages(grid[ours], published, _PUBLISHED_SPLITS)
    no_rl = suites and "rl_end" not in set(table["landmark"])
    also = "no RL result in this study" if no_rl else ""
    figures_published.name_origin(figure, published, also=also)
    return figure


def _sft_panels(row: list[Axes], own: pd.DataFrame, base: str) -> None:
    """OOD in the left panel, ID in the right one."""
    sft = own[own["stage"].isin(["base", "sft"])]
    left, right = row
    ood = suite(sft, "ood", "test")
    curve(left, ood, "accuracy", "ood", "-", "SFT")
    for fold, style, name in _ID_FOLDS:
        curve(right, suite(sft, "id", fold), "accuracy", "id", style, name)
    left.set_title(f"Out of distribution, test{base}")
    right.set_title(f"In distribution{base}")
    for axes in row:
        step_axis(axes)
        axes.set(ylabel="accuracy (%)", ylim=(0, max(axes.get_ylim()[1], 5)))
    right.set_ylim(0, 104)


def _sft_handles(accuracy: pd.DataFrame) -> list[Line2D]:
    """Legend entries of the SFT lines."""
    handles = [
        Line2D([], [], color=colour("base"), marker="o", ls="", label="base"),
        Line2D([], [], color=colour("ood"), marker="o", label="OOD by SFT step"),
    ]
    for (_, style, name), marker in zip(_ID_FOLDS, "os", strict=True):
        handles.append(
            Line2D([], [], color=colour("id"), marker=marker, ls=style, label=f"ID, {name}")
        )
    seeds = seeds_of(accuracy)
    if seeds:
        handles.append(Line2D([], [], color=colour("muted"), lw=0.8, alpha=0.6,
                              label=f"each of {len(seeds)} seeds"))  # fmt: skip
    return handles


def _legend_above(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(handles=handles, loc="outside upper center", ncols=4)


def _mark_peak(axes: Axes, ood: pd.DataFrame) -> None:
    """Label the highest SFT checkpoint, above all curves."""
    pooled = ood[ood["seed"] == POOLED]
    sft = records(pooled[pooled["stage"] == "sft"].sort_values("step"))
    if not sft:
        return
    peak = max(sft, key=lambda row: row["accuracy"])
    top = float(np.nanmax([*pooled["high"], *ood["accuracy"]]))
    axes.set_ylim(0, max(top * 1.17, 5))
    late = peak["step"] > sft[-1]["step"] / 4  # the middle of the square-root axis
    axes.text(
        peak["step"], max(top * 1.05, 4.5), f"peak {peak['accuracy']:.1f} % at step {peak['step']}",
        fontsize=7.5, color=colour("ood"), ha="right" if late else "left", va="bottom",
    )  # fmt: skip


def _rl_arrows(axes: Axes, table: pd.DataFrame, algorithm: str, place: int) -> None:
    """Arrows from the SFT value at each start to the value after RL, to the right of it."""
    pooled = table[table["seed"] == POOLED]
    sft = pooled[pooled["stage"] == "sft"].set_index("step")["accuracy"]
    after = pooled[(pooled["stage"] == "rl") & (pooled["algorithm"] == algorithm)]
    after = after[after["step"].isin(sft.index)]
    role = algorithm_role(algorithm)
    after = after.assign(start=after["step"])
    after["step"] = shifted_right(axes, after["start"], 0.018 + 0.022 * place)
    for row in records(after):
        axes.annotate(
            "", (row["step"], row["accuracy"]), (row["start"], sft[row["start"]]),
            arrowprops={"arrowstyle": "->", "color": colour(role), "lw": 1.1, "shrinkA": 2,
                        "shrinkB": 2},
        )  # fmt: skip
    points(axes, after, "accuracy", role, "D")


def _stacked(axes: Axes, own: pd.DataFrame, colours: dict[str, str]) -> None:
    """Stacked bars at equal distances: base and SFT steps, then each RL algorithm by start."""
    keys = ["stage", "algorithm", "step"]
    order = {"base": 0, "sft": 1, "rl": 2}
    shares = own.pivot_table(
        index=keys, columns="kind", values="share", aggfunc="sum"
    ).reset_index()
    if shares.empty:
        note(axes, "not evaluated")
        return
    shares = shares.sort_values(keys, key=lambda c: c.map(order) if c.name == "stage" else c)
    group = shares["algorithm"].ne(shares["algorithm"].shift()).cumsum() - 1
    places = 1.5 * group + np.arange(len(shares))
    bottom = pd.Series(0.0, index=shares.index)
    for kind, shade in colours.items():
        axes.bar(places, shares[kind], bottom=bottom, color=shade, width=0.85)
        bottom = bottom + shares[kind]
    names = ["base" if row["stage"] == "base" else str(row["step"]) for row in records(shares)]
    axes.set_xticks(places, names, rotation=90, fontsize=6.5)
    for algorithm, own_places in places.groupby(shares["algorithm"]):
        name = _SHORT.get(str(algorithm)) or algorithm_name(str(algorithm))
        axes.annotate(
            name, (own_places.mean(), 0), (0, -26), xycoords=axes.get_xaxis_transform(),
            textcoords="offset points", ha="center", va="top", fontsize=7,
        )  # fmt: skip
    axes.set(ylim=(0, 100))
    axes.grid(False, axis="x")


def _kind_name(kind: str) -> str:
    return kind.replace("id_rule", "ID rule").replace("_", " ")


def _stage_points(axes: Axes, own: pd.DataFrame, role: Role) -> None:
    own = own.assign(step=own["landmark"].map(LANDMARKS.index)).sort_values("step")
    for seed in seeds_of(own):
        line = own[own["seed"] == seed]
        axes.plot(line["step"], line["accuracy"], color=colour(role), lw=0.8, alpha=0.45)
    pooled = own[own["seed"] == POOLED]
    axes.plot(pooled["step"], pooled["accuracy"], color=colour(role))
    for row in records(pooled):
        points(axes, pd.DataFrame([row]), "accuracy", _stage_role(row, role), "o")
        axes.annotate(
            f"{row['accuracy']:.0f}", (row["step"], np.nanmax([row["high"], row["accuracy"]])),
            (0, 2), textcoords="offset points", fontsize=7.5, ha="center",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
    axes.set_xticks(range(len(LANDMARKS)), [STAGE_NAMES[name] for name in LANDMARKS])
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(-0.5, len(LANDMARKS) - 0.5)
    axes.set_ylim(0, max(axes.get_ylim()[1] * 1.08, 5))
    axes.grid(False, axis="x")


def _stage_role(row: Mapping[str, Any], role: Role) -> Role:
    if row["landmark"] == "rl_end":
        return algorithm_role(Checkpoint.parse(str(row["checkpoint"])).algorithm)
    return "base" if row["landmark"] == "base" else role
