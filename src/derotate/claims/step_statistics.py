# SPDX-License-Identifier: MIT
"""Statistics of one run along SFT steps or starts of RL, from its cells in the tables.

A correlation over the steps of one run describes that run; its steps are no sample. So it is one
number here, and what is tested is its mean over runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy import stats

from derotate.claims.cells import MissingCells, Tables, rows_of_run
from derotate.claims.schema import AcrossStarts, Trend, Window
from derotate.study.checkpoint import Checkpoint

Run = Mapping[str, Any]
"""A row of the landmarks: base_seed, seed (text), max_ood, sft_end, rl_end_*."""

_OOD = {"split": "ood", "fold": "test"}


def trend(statistic: Trend, tables: Tables, run: Run) -> float:
    """Spearman's correlation of step and accuracy from `max_ood` on; 0 if accuracy never moves.

    Raises:
        MissingCells: fewer than three steps from the peak on.
    """
    suite = {"split": statistic.split, "fold": statistic.fold}
    curve = _sft(tables, run, suite)
    late = curve[curve.index >= run["max_ood"]]
    if len(late) < 3:
        raise MissingCells(
            [f"accuracy_by_step.csv: three steps from the peak on, {_name(run)} has {len(late)}"]
        )
    return _spearman(late.index.to_series(), late)


def well_formed(tables: Tables, run: Run) -> float:
    """Points of OOD test accuracy lost from `max_ood` to `sft_end` among answers that parse.

    Accuracy among them is correct / (100 - unparsable).

    Raises:
        MissingCells: an error kind of a landmark is missing, or no answer parses.
    """
    accuracies = []
    for landmark in ("max_ood", "sft_end"):
        where: dict[str, str | int | float] = {
            "stage": "sft", "step": int(run[landmark]), **_OOD
        }  # fmt: skip
        rows = rows_of_run(tables, "errors_by_step", ["kind", "share"], run, where)
        shares = rows.set_index("kind")["share"]
        if not {"correct", "unparsable"} <= set(shares.index) or shares["unparsable"] >= 100:
            raise MissingCells([f"errors_by_step.csv: answers that parse, {landmark} {_name(run)}"])
        accuracies.append(100 * shares["correct"] / (100 - shares["unparsable"]))
    return float(accuracies[0] - accuracies[1])


def unparsable(tables: Tables, run: Run) -> float:
    """Largest share of unparsable answers on OOD test from `max_ood` on, in percent."""
    where = {"stage": "sft", "kind": "unparsable", **_OOD}
    rows = rows_of_run(tables, "errors_by_step", ["step", "share"], run, where)
    late = rows[rows["step"] >= run["max_ood"]]
    if not len(late):
        raise MissingCells([f"errors_by_step.csv: steps from the peak on, {_name(run)}"])
    return float(late["share"].max())


def across_starts(statistic: AcrossStarts, tables: Tables, run: Run) -> float:
    """Spearman's correlation over starts of RL; 0 if one side never varies.

    `correct_share` is the share of correct samples at the first update (those with a positive
    advantage), `start_accuracy` and `accuracy` are OOD test accuracy before and after RL, `gain` is
    their paired difference.

    Raises:
        MissingCells: fewer starts than the statistic asks for, or a cell of one.
    """
    gains = _gains(tables, run, statistic.algorithm)
    if statistic.outcome == "gain":
        outcome = gains
    else:
        where = {"stage": "rl", "algorithm": statistic.algorithm, **_OOD}
        outcome = _curve(tables, run, where)
    if statistic.predictor == "start_accuracy":
        predictor = _sft(tables, run, _OOD)
    else:
        rows = rows_of_run(
            tables, "rl_first_update", ["start", "correct_share"], run,
            {"algorithm": statistic.algorithm},
        )  # fmt: skip
        predictor = rows.set_index("start")["correct_share"]
    _have(predictor, gains.index, "predictor", run)
    _have(outcome, gains.index, "outcome", run)
    if len(gains) < statistic.least:
        raise MissingCells(
            [f"contrasts.csv: rl_over_start from {statistic.least} starts, {_name(run)} has "
             f"{len(gains)}"]
        )  # fmt: skip
    return _spearman(predictor[gains.index], outcome[gains.index])


def window(statistic: Window, tables: Tables, run: Run) -> float:
    """Mean OOD gain of RL from starts inside the window of ID accuracy minus that of the others.

    Raises:
        MissingCells: no start on one side, or the ID accuracy of a start.
    """
    gains = _gains(tables, run, statistic.algorithm)
    accuracy = _sft(tables, run, {"split": "id", "fold": statistic.fold})
    _have(accuracy, gains.index, "ID accuracy", run)
    inside = accuracy[gains.index].between(statistic.low, statistic.high)
    if not inside.any() or inside.all():
        side = "outside" if inside.all() else "inside"
        raise MissingCells(
            [f"contrasts.csv: rl_over_start from a start {side} the window, {_name(run)}"]
        )
    return float(gains[inside].mean() - gains[~inside].mean())


def _gains(tables: Tables, run: Run, algorithm: str) -> pd.Series:
    """Points of OOD test accuracy that RL adds, by start."""
    where = {"contrast": "rl_over_start", **_OOD}
    rows = rows_of_run(tables, "contrasts", ["treatment", "points"], run, where)
    runs = [Checkpoint.parse(label) for label in rows["treatment"]]
    own = rows[[run.algorithm == algorithm for run in runs]]
    starts = [run.start for run in runs if run.algorithm == algorithm]
    return pd.Series(own["points"].to_numpy(dtype=float), index=starts).sort_index()


def _sft(tables: Tables, run: Run, suite: Mapping[str, str]) -> pd.Series:
    return _curve(tables, run, {"stage": "sft", **suite})


def _curve(tables: Tables, run: Run, where: Mapping[str, str | int | float]) -> pd.Series:
    rows = rows_of_run(tables, "accuracy_by_step", ["step", "accuracy"], run, where)
    return rows.set_index("step")["accuracy"].astype(float).sort_index()


def _have(series: pd.Series, index: pd.Index, what: str, run: Run) -> None:
    absent = [start for start in index if start not in series.index]
    if absent:
        raise MissingCells([f"{what} of start {start}, {_name(run)}" for start in absent])


def _spearman(x: pd.Series, y: pd.Series) -> float:
    if x.nunique() < 2 or y.nunique() < 2:
        return 0.0
    return float(stats.spearmanr(x.to_numpy(), y.to_numpy()).statistic)


def _name(run: Run) -> str:
    return f"base {run['base_seed']} seed {run['seed']}"
