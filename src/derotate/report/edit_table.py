# SPDX-License-Identifier: MIT
"""Edits of the end of SFT: OOD gain, ID loss, norm, and distance from a rollback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate.analysis.edit_matches import unmatched
from derotate.analysis.select_rows import POOLED
from derotate.claims.cells import MissingCells, Tables, study_runs
from derotate.report.estimates import Estimate, Missing, contrast
from derotate.report.format import NOTHING, number
from derotate.report.markdown import table

DIRECTIONS: Final = "directions-top20"
"""The edit that the papers recommend."""
_NORM: Final = "norm_over_donor_distance"
_DISTANCE: Final = "from_rollback_over_donor_distance"
_COLUMNS: Final = (
    "edit of the end of SFT", "OOD gain", "ID loss (training problems)", "relative norm",
    "relative distance from a rollback",
)  # fmt: skip


def edits(tables: Tables) -> str:
    """One row per edit, the largest OOD gain first; empty if contrasts.csv has no edit."""
    rows = ood_contrasts(tables, "over_patient")
    rows = rows[rows["direction"] == "forward"] if len(rows) else rows
    if rows.empty:
        return ""
    peak = [
        "full rollback to the peak",
        contrast(tables, "forgot"),
        contrast(tables, "forgot", "id", "train").reversed,
        NOTHING,
        NOTHING,
    ]
    gains = rows[rows["seed"] != POOLED].groupby("treatment")["points"].mean()
    recipes = gains.sort_values(ascending=False, kind="stable").index
    sizes, remarks = _sizes(tables), _remarks(tables)
    return table(_COLUMNS, [peak, *(_row(tables, str(name), sizes, remarks) for name in recipes)])


def _row(
    tables: Tables, recipe: str, sizes: pd.DataFrame, remarks: Mapping[str, str]
) -> list[object]:
    edit = {"direction": "forward", "treatment": recipe}
    size = sizes.loc[recipe] if recipe in sizes.index else pd.Series(dtype=float)
    return [
        f"{recipe}{remarks.get(recipe, '')}",
        contrast(tables, "over_patient", **edit),
        contrast(tables, "over_patient", "id", "train", **edit).reversed,
        number(size.get(_NORM), 2),
        number(size.get(_DISTANCE), 2),
    ]


def ood_contrasts(tables: Tables, name: str) -> pd.DataFrame:
    """The rows of a contrast on OOD test problems; none if the table lacks columns."""
    data = tables.get("contrasts")
    needed = {"contrast", "direction", "treatment", "split", "fold", "seed", "points"}
    if data is None or not needed <= set(data.columns):
        return pd.DataFrame()
    own = data[data["contrast"] == name]
    return own[(own["split"] == "ood") & (own["fold"] == "test")]


@dataclass(frozen=True)
class RollbackDistance:
    """How far the edit of directions is from a rollback, as a share of the peak's distance.

    The unedited end of SFT is at distance 1.

    Attributes:
        mean: over runs; low and high are the range of the runs.
        ood: OOD accuracy minus that of a rollback of the same matrices.
    """

    mean: float
    low: float
    high: float
    ood: Estimate | Missing

    @property
    def nearer(self) -> bool:
        """Whether the edit is nearer to the rollback than the unedited end, in all runs."""
        return self.high < 1

    @property
    def farther(self) -> bool:
        """Whether it is not nearer in any run."""
        return self.low >= 1


def rollback_distance(tables: Tables) -> RollbackDistance | None:
    """Distance of the edit of directions from a rollback; None if that was not measured."""
    try:
        own = _edits_of_end(tables)
    except MissingCells:
        return None
    own = own[own["recipe"] == DIRECTIONS][_DISTANCE].dropna()
    if own.empty:
        return None
    ood = contrast(tables, "over_rollback", direction="forward", treatment=DIRECTIONS)
    return RollbackDistance(float(own.mean()), float(own.min()), float(own.max()), ood)


def _sizes(tables: Tables) -> pd.DataFrame:
    """Mean over runs of norm and distance of each edit, by recipe."""
    try:
        own = _edits_of_end(tables)
    except MissingCells:
        return pd.DataFrame()
    return own.groupby("recipe")[[name for name in (_NORM, _DISTANCE) if name in own]].mean()


def _edits_of_end(tables: Tables) -> pd.DataFrame:
    """The rows of surgery_edits.csv about the end of SFT."""
    data = tables.get("surgery_edits")
    if data is None or _DISTANCE not in data:
        raise MissingCells(["surgery_edits.csv"])
    ends = {f"into-sft-{int(end)}" for end in study_runs(tables)["sft_end"]}
    return data[data["operation"].astype(str).str.endswith(tuple(ends))]


def _remarks(tables: Tables) -> dict[str, str]:
    """Recipe -> whether it is a control, and in how many runs it could not be matched."""
    data = tables.get("surgery")
    controls = set() if data is None else set(data.loc[data["role"] == "control", "recipe"])
    known: dict[str, list[str]] = {str(name): ["control"] for name in controls}
    for name, remark in unmatched(tables.get("surgery_edits", pd.DataFrame())).items():
        known.setdefault(name, []).append(remark)
    return {name: f" ({'; '.join(parts)})" for name, parts in known.items()}
