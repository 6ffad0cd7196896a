# SPDX-License-Identifier: MIT
"""The figure of the diagnostics: every run is seen, and what was not measured is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derotate.figures import style
from derotate.figures.diagnostics import diagnostics

RUNS = [(1, "101"), (1, "202"), (2, "101")]
STATES = {  # pair, metric, split: value
    ("max_ood:sft_end", "cka", "ood"): 0.7,
    ("max_ood:rl_end", "cka", "ood"): 0.8,
    ("max_ood:sft_end", "jensen_shannon_1", "ood"): 0.05,
    ("max_ood:rl_end", "jensen_shannon_1", "ood"): 0.04,
    ("max_ood:sft_end:rl_end", "win_rate.cosine", "ood"): 0.6,
    ("max_ood:sft_end:rl_end", "win_rate.jensen_shannon_1", "ood"): 0.7,
    ("base:max_ood", "forward_kl", "id"): 0.3,
    ("base:sft_end", "forward_kl", "id"): 0.9,
    ("base:rl_end", "forward_kl", "id"): 0.8,
}
PAIRS = {"base:sft_end": 0.01, "max_ood:sft_end": 0.02, "sft_end:rl_end": 0.2}


def states_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "base_seed": base, "seed": seed, "pair": pair, "split": split, "fold": "test",
                "metric": metric, "value": value * rng.uniform(0.9, 1.1),
            }
            for base, seed in RUNS
            for (pair, metric, split), value in STATES.items()
        ]
    )  # fmt: skip


def weights_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "base_seed": base, "seed": seed, "pair": pair, "against": against,
                "metric": metric, "fraction": fraction, "value": value + shift,
            }
            for base, seed in RUNS
            for pair, value in PAIRS.items()
            for against, shift in (("patient", 0.0), ("random_change", 0.1))
            for metric, fraction in (("update_sparsity", np.nan), ("energy_off_principal", 0.2))
        ]
    )  # fmt: skip


def panel(figure: Figure, title: str) -> Axes:
    """The panel whose title holds these words."""
    (found,) = (axes for axes in figure.axes if title in axes.get_title("left"))
    return found


def dots(axes: Axes) -> list[float]:
    """Heights of the dots of a panel, sorted."""
    marked = (line for line in axes.lines if line.get_marker() not in ("None", None, ""))
    return sorted(float(line.get_ydata()[0]) for line in marked)


def test_each_run_is_a_dot_at_each_place() -> None:
    states = states_table()
    figure = diagnostics(states, weights_table(), "number sets", 0.2)
    own = states[states["metric"] == "cka"]["value"]
    assert dots(panel(figure, "likeness of hidden states")) == pytest.approx(sorted(own))
    assert len(dots(panel(figure, "divergence from the base"))) == 3 * len(RUNS)


def test_a_change_stands_beside_what_chance_gives() -> None:
    axes = panel(
        diagnostics(states_table(), weights_table(), "number sets", 0.2),
        "weights left as they were",
    )
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    heights = [float(line.get_ydata()[0]) for line in dotted]
    assert heights == pytest.approx([value + 0.1 for value in PAIRS.values()])


def test_a_fraction_that_was_not_measured_is_said() -> None:
    axes = panel(
        diagnostics(states_table(), weights_table(), "number sets", 0.5), "off the top 50 %"
    )
    assert [text.get_text() for text in axes.texts] == ["not measured"]


def test_a_study_without_diagnostics_says_so_in_every_panel() -> None:
    figure = diagnostics(states_table()[:0], weights_table()[:0], "number sets", 0.2)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(said) == 6 and {"no diagnostics\nin this study"} == set(said)


def test_the_figure_drawn_twice_has_the_same_bytes(tmp_path: Path) -> None:
    for copy in ("a", "b"):
        style.save(
            diagnostics(states_table(), weights_table(), "number sets", 0.2), tmp_path / copy
        )
    for form in ("png", "pdf"):
        first = (tmp_path / f"a.{form}").read_bytes()
        assert len(first) > 4000 and first == (tmp_path / f"b.{form}").read_bytes()
