# SPDX-License-Identifier: MIT
"""What else changes when accuracy does: hidden states, weights; learning rate, strength of a base.

These tables describe runs. What is tested of them is among the claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate.analysis.phase_diagram import MATCHED
from derotate.report.format import NOTHING, frame, interval, number, table
from derotate.report.sources import Sources

_PRINCIPAL: Final = 0.2
"""The top share of singular vectors whose span counts as principal, as in the claims."""


@dataclass(frozen=True)
class _Measure:
    """One quantity: its name, its table and which rows of it."""

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
    _Measure("KL from the base on ID prompts (nats a token)", "states", "forward_kl", _ALONG, _ID),
    _Measure("hidden states, likeness to the peak (linear CKA)", "states", "cka", _TO_PEAK, _OOD),
    _Measure(
        "next token, divergence from the peak (Jensen-Shannon, nats)",
        "states", "jensen_shannon_1", _TO_PEAK, _OOD,
    ),
    _Measure("share of weights that stayed", "weights", "update_sparsity", _CHANGES, {}),
    _Measure(
        "share of the change off the leading subspaces",
        "weights", "energy_off_principal", _CHANGES, {}, _PRINCIPAL,
    ),
)  # fmt: skip
_PHASE: Final = {
    "base_steps": "steps of the base",
    "learning_rate": "learning rate",
    "base_ood": "OOD of the base (%)",
    "peak_step": "peak at step",
    "peak_ood": "OOD at the peak (%)",
    "end_id": "ID at the end (%)",
    "end_lost": "lost at the end",
    "matched_lost": "lost where ID was first learned",
    "learned": "learned the task",
}
_WITH_INTERVALS: Final = ("end_lost", "matched_lost")


def diagnostics(sources: Sources) -> list[str]:
    """Other measures of change between landmarks, mean and range over runs."""
    heading = "## What else changes"
    rows = [row for measure in _MEASURES for row in _rows(sources, measure)]
    if not rows:
        return [heading, "Not measured here: there is no states.csv and no weights.csv."]
    text = (
        "Mean of the runs and their range; *chance* is what a random change of equal norm is "
        "expected to show. Whether RL brings hidden states back is claim C16."
    )
    return [heading, text, table(["measure", "at", "mean [range of runs]", "chance"], rows)]


def _rows(sources: Sources, measure: _Measure) -> list[list[str]]:
    found = sources.tables.get(measure.table)
    if found is None or not {"pair", "metric", "value", *measure.where} <= set(found.columns):
        return []
    own = found[found["metric"] == measure.metric]
    for column, value in measure.where.items():
        own = own[own[column] == value]
    if "fraction" in own.columns:
        own = own[_is(own["fraction"], measure.fraction)]
    rows = []
    for pair, name in measure.pairs.items():
        of_pair = own[own["pair"] == pair]
        against = of_pair.get("against", pd.Series("patient", index=of_pair.index))
        values = of_pair.loc[against == "patient", "value"].dropna()
        chance = of_pair.loc[against == "random_change", "value"].mean()
        if len(values):
            spread = interval(values.min(), values.max(), 3)
            shown = f"{number(values.mean(), 3)} {spread}"
            rows.append([measure.name, name, shown, number(chance, 3)])
    return rows


def _is(fractions: pd.Series, wanted: float | None) -> pd.Series:
    return fractions.isna() if wanted is None else (fractions - wanted).abs() < 1e-9


def phase(sources: Sources) -> list[str]:
    """When forgetting happens: OOD accuracy lost by learning rate and strength of the base."""
    heading = "## When does forgetting happen?"
    found = sources.tables.get("phase")
    if found is None or found.empty:
        return [heading, "Not known beyond the one setting above: phase.csv is missing."]
    if not set(_PHASE) <= set(found.columns):
        return [heading, frame(found)]
    text = (
        "One SFT run for each learning rate and each strength of the base. Losses are in points of "
        "OOD accuracy against the peak up to then, intervals over problems: one seed a cell, so a "
        "single cell says little and their pattern more."
    )
    ordered = found.sort_values(["base_steps", "learning_rate"])
    rows = [[_phase_cell(row, name) for name in _PHASE] for _, row in ordered.iterrows()]
    return [heading, text, _pattern(found), table(list(_PHASE.values()), rows)]


def _pattern(found: pd.DataFrame) -> str:
    """In how many cells OOD accuracy is lost by the end, and by the step where ID is learned."""
    reached = found[found["matched_lost"].notna()]
    clear = "beyond its interval, OOD accuracy is below its peak"
    by_end, by_then = (
        int((cells.reindex(columns=[f"{name}_low"]) > 0).to_numpy().sum())
        for cells, name in ((found, "end_lost"), (reached, "matched_lost"))
    )
    return (
        f"At the last step, {clear} in {by_end} of {len(found)} cells. At the step where ID "
        f"accuracy first is {MATCHED:g} %, it is so in {by_then} of the {len(reached)} cells that "
        "get there."
    )


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
