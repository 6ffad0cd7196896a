# SPDX-License-Identifier: MIT
"""Figure of the diagnostics: hidden states and next tokens against the peak, weight changes.

A dot is one run, a bar the mean of the runs; the dots of a run are joined. Nulls are grey.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derotate.figures.shared import note_all, suite
from derotate.figures.style import Role, canvas, colour, note, styled

Places = Sequence[tuple[str, str, Role]]
"""Value of a column, label and colour of each category of an axis."""

_GAIN = "max_ood:sft_end:rl_end"
_NEARNESS: Places = (("max_ood:sft_end", "SFT end", "sft"), ("max_ood:rl_end", "RL end", "grpo"))
_FROM_BASE: Places = (
    ("base:max_ood", "peak", "sft"),
    ("base:sft_end", "SFT end", "sft"),
    ("base:rl_end", "RL end", "grpo"),
)
_CHANGES: Places = (
    ("base:sft_end", "base to\nSFT end", "sft"),
    ("max_ood:sft_end", "peak to\nSFT end", "sft"),
    ("sft_end:rl_end", "SFT end\nto RL end", "grpo"),
)
_WINS: Places = (
    ("win_rate.cosine", "hidden\nstates", "grpo"),
    ("win_rate.jensen_shannon_1", "next\ntoken", "grpo"),
)
_NULL = "random_change"
_MARKERS = ("o", "s", "^", "D", "v")
_SPREAD = 0.24
"""Jitter: width over which the dots of a category are spread."""


@styled
def diagnostics(
    states: pd.DataFrame, weights: pd.DataFrame, clusters: str, fraction: float
) -> Figure:
    """Similarity to the peak, win rates, divergence from the base, sparsity and place of changes.

    Args:
        states: table of hidden states by run, pair, split, fold and metric.
        weights: table of changes of weights by run, pair, against, metric and fraction.
        clusters: the task's name for its hold-out units, e.g. number sets.
        fraction: top share of the rank whose subspace counts as principal; one of `weights`.
    """
    figure, grid = canvas(2, 3, row_height=2.3)
    if states.empty and weights.empty:
        note_all(grid, "no diagnostics\nin this study")
        return figure
    (cka, tokens, wins), (divergence, sparsity, energy) = grid
    ood, learned = (suite(states, split, "test") for split in ("ood", "id"))
    _panel(
        cka, _metric(ood, "cka"), _NEARNESS, "likeness of hidden states", "linear CKA with the peak"
    )
    _panel(
        tokens, _metric(ood, "jensen_shannon_1"), _NEARNESS, "distance of the next token",
        "Jensen-Shannon (nats)",
    )  # fmt: skip
    tokens.set_ylim(0, None)
    of_rl = ood[ood["pair"] == _GAIN]
    _panel(wins, of_rl, _WINS, "RL nearer to the peak", f"share of {clusters}", "metric")
    wins.axhline(0.5, color=colour("control"), lw=1, ls="--")
    wins.set_ylim(0, 1)
    _panel(
        divergence, _metric(learned, "forward_kl"), _FROM_BASE, "divergence from the base",
        "forward KL, ID (nats a token)",
    )  # fmt: skip
    divergence.set_ylim(0, None)
    unbanded = weights["fraction"].isna()
    _changes(sparsity, weights[unbanded], "update_sparsity", "weights left as they were")
    principal = (weights["fraction"] - fraction).abs() < 1e-9
    _changes(energy, weights[principal], "energy_off_principal",
             f"change off the top {100 * fraction:g} %")  # fmt: skip
    figure.legend(handles=_handles(states, weights), loc="outside lower center", ncols=3)
    return figure


def _changes(axes: Axes, weights: pd.DataFrame, metric: str, title: str) -> None:
    """Shares by pair, with the expectation under a random change of equal norm."""
    own = _metric(weights, metric)
    _panel(axes, own[own["against"] == "patient"], _CHANGES, title, "share")
    null = own[own["against"] == _NULL].groupby("pair")["value"].mean()
    for place, (pair, _, _) in enumerate(_CHANGES):
        if pair in null:
            axes.plot([place - 0.4, place + 0.4], [null[pair]] * 2, color=colour("control"), ls=":")


def _metric(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["metric"] == name]


def _panel(
    axes: Axes, table: pd.DataFrame, places: Places, title: str, label: str, by: str = "pair"
) -> None:
    """`value` of each run in each category, runs joined, with the mean over runs."""
    axes.set_title(title, fontsize=8)
    names = [name for name, _, _ in places]
    known = table[table[by].isin(names)]
    if known.empty:
        note(axes, "not measured")
        return
    wide = known.pivot_table(index=["base_seed", "seed"], columns=by, values="value")
    wide = wide.reindex(columns=names)
    bases = sorted(set(wide.index.get_level_values("base_seed")))
    for number, (run, values) in enumerate(wide.iterrows()):
        shift = _SPREAD * ((number + 0.5) / len(wide) - 0.5)
        across = [place + shift for place in range(len(places))]
        axes.plot(across, values, color=colour("muted"), lw=0.5, alpha=0.5, zorder=1)
        marker = _MARKERS[bases.index(run[0]) % len(_MARKERS)]
        for x, value, (_, _, role) in zip(across, values, places, strict=True):
            axes.plot([x], [value], marker, color=colour(role), ms=3.5, alpha=0.85)
    for place, name in enumerate(names):
        axes.plot([place - 0.3, place + 0.3], [wide[name].mean()] * 2, color="black", lw=1.2)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xticks(range(len(places)), labels=[text for _, text, _ in places])
    axes.set_ylabel(label)


def _handles(states: pd.DataFrame, weights: pd.DataFrame) -> list[Line2D]:
    bases = sorted({*states["base_seed"], *weights["base_seed"]})
    dots = [
        Line2D([], [], color=colour("muted"), ls="", marker=_MARKERS[place % len(_MARKERS)],
               label=f"a run of base {base_seed}" if len(bases) > 1 else "a run")
        for place, base_seed in enumerate(bases)
    ]  # fmt: skip
    return [
        *dots,
        Line2D([], [], color="black", lw=1.2, label="mean of the runs"),
        Line2D([], [], color=colour("control"), ls=":", label="random change of equal norm"),
        Line2D([], [], color=colour("control"), lw=1, ls="--", label="no preference"),
    ]
