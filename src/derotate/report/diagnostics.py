# SPDX-License-Identifier: MIT
"""Other measures of change, of hidden states and weights, and the phase diagram.

These tables describe runs. What is tested of them is among the claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate.analysis.phase_diagram import MATCHED
from derotate.claims.cells import Tables
from derotate.report.format import NOTHING, interval, number
from derotate.report.markdown import frame, table

_PRINCIPAL: Final = 0.2
"""The top share of singular vectors whose span counts as principal, as in the claims."""


@dataclass(frozen=True)
class _Measure:
    """One measure: its name, its table and the rows that hold it."""

    name: str
    table: str
    metric: str
    pairs: Mapping[str, str]
    where: Mapping[str, str]
    fraction: float | None = None


_ALONG: Final = {"base:max_ood": "peak", "base:sft_end": "end of SFT", "base:rl_end": "after RL"}
_TO_PEAK: Final = {"max_ood:sft_end": "end of SFT", "max_ood:rl_end": "after RL"}
_CHANGES: Final = {
    "base:sft_end": "base to end of SFT",
    "max_ood:sft_end": "peak to end of SFT",
    "sft_end:rl_end": "end of SFT to RL",
}
_OOD: Final = {"split": "ood", "fold": "test"}
_ID: Final = {"split": "id", "fold": "test"}
_MEASURES: Final = (
    _Measure(
        "KL from the base on ID prompts (nats per token)", "states", "forward_kl", _ALONG, _ID
    ),
    _Measure("hidden states, similarity to the peak (linear CKA)", "states", "cka", _TO_PEAK, _OOD),
    _Measure(
        "next token, divergence from the peak (Jensen-Shannon, nats)",
        "states", "jensen_shannon_1", _TO_PEAK, _OOD,
    ),
    _Measure("share of unchanged weights", "weights", "update_sparsity", _CHANGES, {}),
    _Measure(
        "share of the change outside the leading subspaces",
        "weights", "energy_off_principal", _CHANGES, {}, _PRINCIPAL,
    ),
)  # fmt: skip
_PHASE: Final = {
    "base_steps": "pretraining steps",
    "learning_rate": "learning rate",
    "base_ood": "base OOD (%)",
    "peak_step": "peak step",
    "peak_ood": "peak OOD (%)",
    "end_id": "final ID (%)",
    "end_lost": "OOD loss, last step",
    "matched_lost": "OOD loss, ID first learned",
    "learned": "task learned",
}
_WITH_INTERVALS: Final = ("end_lost", "matched_lost")


def diagnostics(tables: Tables) -> str:
    """Measures of change between landmarks, mean and range of the runs; empty without any."""
    rows = [row for measure in _MEASURES for row in _rows(tables, measure)]
    return table(["measure", "at", "mean [range of runs]", "chance"], rows) if rows else ""


def _rows(tables: Tables, measure: _Measure) -> list[list[str]]:
    data = tables.get(measure.table)
    if data is None or not {"pair", "metric", "value", *measure.where} <= set(data.columns):
        return []
    own = data[data["metric"] == measure.metric]
    for column, value in measure.where.items():
        own = own[own[column] == value]
    if "fraction" in own.columns:
        own = own[_equal(own["fraction"], measure.fraction)]
    rows = []
    for pair, name in measure.pairs.items():
        pair_rows = own[own["pair"] == pair]
        against = pair_rows.get("against", pd.Series("patient", index=pair_rows.index))
        values = pair_rows.loc[against == "patient", "value"].dropna()
        chance = pair_rows.loc[against == "random_change", "value"].mean()
        if len(values):
            spread = interval(values.min(), values.max(), 3)
            shown = f"{number(values.mean(), 3)} {spread}"
            rows.append([measure.name, name, shown, number(chance, 3)])
    return rows


def _equal(fractions: pd.Series, wanted: float | None) -> pd.Series:
    return fractions.isna() if wanted is None else (fractions - wanted).abs() < 1e-9


@dataclass(frozen=True)
class Phase:
    """The phase diagram as a table, and in how many cells OOD accuracy is significantly lost.

    Attributes:
        table: one row per pretraining length and learning rate.
        cells: their number; 0 if the table has other columns than expected.
        lost_by_end: cells with a significant loss at the last step.
        reached: cells that reach the ID accuracy `accuracy`, in percent.
        lost_by_then: those with a significant loss at the first step that reaches it.
    """

    table: str
    cells: int = 0
    lost_by_end: int = 0
    reached: int = 0
    lost_by_then: int = 0
    accuracy: float = MATCHED


def phase(tables: Tables) -> Phase | None:
    """OOD accuracy lost by learning rate and strength of the base; None without phase.csv."""
    data = tables.get("phase")
    if data is None or data.empty:
        return None
    if not set(_PHASE) <= set(data.columns):
        return Phase(frame(data))
    ordered = data.sort_values(["base_steps", "learning_rate"])
    rows = [[_phase_cell(row, name) for name in _PHASE] for _, row in ordered.iterrows()]
    reached = data[data["matched_lost"].notna()]
    return Phase(
        table(list(_PHASE.values()), rows),
        len(data),
        _significant(data, "end_lost"),
        len(reached),
        _significant(reached, "matched_lost"),
    )


def _significant(cells: pd.DataFrame, name: str) -> int:
    """In how many cells the CI of a loss lies above 0."""
    return int((cells.reindex(columns=[f"{name}_low"]) > 0).to_numpy().sum())


def _phase_cell(row: pd.Series, name: str) -> str:
    value = row[name]
    if pd.isna(value):
        return NOTHING
    if name == "learned":
        return "yes" if str(value) == "True" else "no"
    if name in ("base_steps", "peak_step", "learning_rate"):
        return f"{value:g}"
    ends = row.get(f"{name}_low"), row.get(f"{name}_high")
    if name in _WITH_INTERVALS and None not in ends:
        return f"{number(value)} {interval(*ends)}"
    return number(value)
