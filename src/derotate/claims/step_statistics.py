# SPDX-License-Identifier: MIT
"""Statistics of one run along SFT steps or starts of RL, from its cells in the tables.

The steps of a run are no sample: a correlation over them describes that run alone. So it is one
number per run, and tests are about its mean over runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pandas as pd
from pydantic import Field
from scipy import stats

from derotate.claims.cells import MissingCells, Tables, rows_of_run
from derotate.claims.run_statistic import OOD_TEST, RequiredCells, RunStatistic
from derotate.study.checkpoint import Checkpoint

Run = Mapping[str, Any]

_FEWEST_STEPS = 3
"""Steps below which a rank correlation says nothing."""
_FEWEST_STARTS_OF_WINDOW = 3
"""Starts of RL that a window takes: one before, one inside and one after it."""


class Trend(RunStatistic):
    """Spearman's correlation of SFT step and accuracy from `max_ood` on, -1 to 1.

    It is 0 if accuracy never changes.
    """

    kind: Literal["trend"]
    split: str
    fold: str
    bound = 1.0

    def value(self, tables: Tables, run: Run) -> float:
        """See `RunStatistic`."""
        curve = _sft(tables, run, {"split": self.split, "fold": self.fold})
        late = curve[curve.index >= run["max_ood"]]
        if len(late) < _FEWEST_STEPS:
            raise MissingCells(
                [
                    f"accuracy_by_step.csv: three steps from the peak on, {_name(run)} has "
                    f"{len(late)}"
                ]
            )
        return _spearman(late.index.to_series(), late)

    def required_cells(self) -> Iterator[RequiredCells]:
        """See `RunStatistic`."""
        where = {"stage": "sft", "split": self.split, "fold": self.fold}
        yield RequiredCells("accuracy_by_step", where)


class AcrossStarts(RunStatistic):
    """Spearman's correlation over the starts of RL within a run, -1 to 1.

    `correct_share` is the share of correct samples at the first update (those with a positive
    advantage), `start_accuracy` and `accuracy` are OOD test accuracy before and after RL, `gain` is
    their paired difference. The correlation is 0 if one side never varies.
    """

    kind: Literal["across_starts"]
    algorithm: str
    predictor: Literal["correct_share", "start_accuracy"]
    outcome: Literal["gain", "accuracy"]
    least: int = Field(4, description="starts below which a rank correlation says nothing")
    bound = 1.0

    def value(self, tables: Tables, run: Run) -> float:
        """See `RunStatistic`."""
        gains = _gains(tables, run, self.algorithm)
        predictor, outcome = self._predictor(tables, run), self._outcome(tables, run, gains)
        _require(predictor, gains.index, "predictor", run)
        _require(outcome, gains.index, "outcome", run)
        if len(gains) < self.least:
            raise MissingCells(
                [
                    f"contrasts.csv: rl_over_start from {self.least} starts, {_name(run)} has "
                    f"{len(gains)}"
                ]
            )
        return _spearman(predictor[gains.index], outcome[gains.index])

    def required_cells(self) -> Iterator[RequiredCells]:
        """See `RunStatistic`."""
        yield RequiredCells(
            "contrasts",
            {"contrast": "rl_over_start", **OOD_TEST},
            algorithm=self.algorithm,
            starts=self.least,
        )

    def _predictor(self, tables: Tables, run: Run) -> pd.Series:
        """By start."""
        if self.predictor == "start_accuracy":
            return _sft(tables, run, OOD_TEST)
        columns, where = ["start", "correct_share"], {"algorithm": self.algorithm}
        rows = rows_of_run(tables, "rl_first_update", columns, run, where)
        return rows.set_index("start")["correct_share"]

    def _outcome(self, tables: Tables, run: Run, gains: pd.Series) -> pd.Series:
        """By start."""
        if self.outcome == "gain":
            return gains
        return _curve(tables, run, {"stage": "rl", "algorithm": self.algorithm, **OOD_TEST})


class Window(RunStatistic):
    """Mean OOD gain of RL from starts inside a window of ID accuracy, minus that of the others."""

    kind: Literal["window"]
    algorithm: str
    fold: str
    low: float = Field(description="percent of ID problems")
    high: float
    bound = 200.0

    def value(self, tables: Tables, run: Run) -> float:
        """See `RunStatistic`."""
        gains = _gains(tables, run, self.algorithm)
        accuracy = _sft(tables, run, {"split": "id", "fold": self.fold})
        _require(accuracy, gains.index, "ID accuracy", run)
        inside = accuracy[gains.index].between(self.low, self.high)
        if not inside.any() or inside.all():
            side = "outside" if inside.all() else "inside"
            raise MissingCells(
                [f"contrasts.csv: rl_over_start from a start {side} the window, {_name(run)}"]
            )
        return float(gains[inside].mean() - gains[~inside].mean())

    def required_cells(self) -> Iterator[RequiredCells]:
        """See `RunStatistic`."""
        yield RequiredCells("accuracy_by_step", {"stage": "sft", "split": "id", "fold": self.fold})
        yield RequiredCells(
            "contrasts",
            {"contrast": "rl_over_start", **OOD_TEST},
            algorithm=self.algorithm,
            starts=_FEWEST_STARTS_OF_WINDOW,
            # Which starts lie in the window is known only once SFT is evaluated.
            every_start=True,
        )


class WellFormed(RunStatistic):
    """Points of OOD test accuracy lost from `max_ood` to `sft_end` among answers that parse.

    Accuracy among them is correct / (100 - unparsable).
    """

    kind: Literal["well_formed"]
    bound = 100.0

    def value(self, tables: Tables, run: Run) -> float:
        """See `RunStatistic`."""
        peak, end = (self._accuracy(tables, run, name) for name in ("max_ood", "sft_end"))
        return peak - end

    def required_cells(self) -> Iterator[RequiredCells]:
        """See `RunStatistic`."""
        yield RequiredCells("errors_by_step", {"stage": "sft", **OOD_TEST})

    @staticmethod
    def _accuracy(tables: Tables, run: Run, landmark: str) -> float:
        """Percent correct among the answers that parse."""
        where: dict[str, str | int | float] = {"stage": "sft", **OOD_TEST}
        where["step"] = int(run[landmark])
        rows = rows_of_run(tables, "errors_by_step", ["kind", "share"], run, where)
        shares = rows.set_index("kind")["share"]
        if not {"correct", "unparsable"} <= set(shares.index) or shares["unparsable"] >= 100:
            raise MissingCells([f"errors_by_step.csv: answers that parse, {landmark} {_name(run)}"])
        return float(100 * shares["correct"] / (100 - shares["unparsable"]))


class Unparsable(RunStatistic):
    """Largest share of unparsable answers on OOD test from `max_ood` on, in percent."""

    kind: Literal["unparsable"]
    bound = 100.0

    def value(self, tables: Tables, run: Run) -> float:
        """See `RunStatistic`."""
        where = {"stage": "sft", "kind": "unparsable", **OOD_TEST}
        rows = rows_of_run(tables, "errors_by_step", ["step", "share"], run, where)
        late = rows[rows["step"] >= run["max_ood"]]
        if not len(late):
            raise MissingCells([f"errors_by_step.csv: steps from the peak on, {_name(run)}"])
        return float(late["share"].max())

    def required_cells(self) -> Iterator[RequiredCells]:
        """See `RunStatistic`."""
        yield RequiredCells("errors_by_step", {"stage": "sft", **OOD_TEST})


StepStatistic = Trend | AcrossStarts | Window | WellFormed | Unparsable
"""The statistics of this module, by their `kind`."""


def _gains(tables: Tables, run: Run, algorithm: str) -> pd.Series:
    """Points of OOD test accuracy that RL adds, by start."""
    where = {"contrast": "rl_over_start", **OOD_TEST}
    rows = rows_of_run(tables, "contrasts", ["treatment", "points"], run, where)
    runs = [Checkpoint.parse(label) for label in rows["treatment"]]
    of_algorithm = rows[[run.algorithm == algorithm for run in runs]]
    starts = [run.start for run in runs if run.algorithm == algorithm]
    return pd.Series(of_algorithm["points"].to_numpy(dtype=float), index=starts).sort_index()


def _sft(tables: Tables, run: Run, suite: Mapping[str, str]) -> pd.Series:
    return _curve(tables, run, {"stage": "sft", **suite})


def _curve(tables: Tables, run: Run, where: Mapping[str, str | int | float]) -> pd.Series:
    rows = rows_of_run(tables, "accuracy_by_step", ["step", "accuracy"], run, where)
    return rows.set_index("step")["accuracy"].astype(float).sort_index()


def _require(series: pd.Series, index: pd.Index, what: str, run: Run) -> None:
    absent = [start for start in index if start not in series.index]
    if absent:
        raise MissingCells([f"{what} of start {start}, {_name(run)}" for start in absent])


def _spearman(x: pd.Series, y: pd.Series) -> float:
    if x.nunique() < 2 or y.nunique() < 2:
        return 0.0
    return float(stats.spearmanr(x.to_numpy(), y.to_numpy()).statistic)


def _name(run: Run) -> str:
    return f"base {run['base_seed']} seed {run['seed']}"
