# SPDX-License-Identifier: MIT
"""The end of a run in words: what was forgotten and what came back, never beyond the interval."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from derotate.analysis.select_rows import POOLED
from derotate.config.recipes import Recipe

_OOD = ("ood", "test")
_LEARNED = ("id", "train")


def summary(contrasts: pd.DataFrame, stages: pd.DataFrame, recipes: Sequence[Recipe]) -> list[str]:
    """Sentences about forgetting, RL, directions, interpolation and values; one set for each base.

    All differences are in points on out-of-distribution test problems that fine-tuning never saw,
    with the 95 % interval in brackets, seeds pooled; the cost is on in-distribution problems that
    SFT learned ("ID").

    Args:
        contrasts: from `contrasts.contrasts`.
        stages: from `tables.stages`, for the steps of the landmarks.
        recipes: of the study.
    """
    lines: list[str] = []
    bases = sorted(set(stages["base_seed"]))
    for base_seed in bases:
        pooled = contrasts[(contrasts["base_seed"] == base_seed) & (contrasts["seed"] == POOLED)]
        seen = stages[(stages["base_seed"] == base_seed) & (stages["seed"] == POOLED)]
        if len(bases) > 1:
            lines.append(f"Base of seed {base_seed}:")
        lines += [_sft(pooled, seen), _rl(pooled, seen)]
        lines += _surgery(pooled, recipes)
    return lines


def _sft(pooled: pd.DataFrame, seen: pd.DataFrame) -> str:
    peak, end = (_steps(seen, name) for name in ("max_ood", "sft_end"))
    rise = _find(pooled, "peak_over_base", _OOD)
    lost = _find(pooled, "forgot", _OOD)
    if rise is None or lost is None:
        return "SFT: no out-of-distribution test results, so forgetting was not measured."
    verb = "forgot" if lost["points"] >= 0 else "did not forget but gained"
    points = lost if lost["points"] >= 0 else _negative(lost)
    return (
        f"Between {peak} and {end} SFT {verb}, out of distribution, {_points(points)}; "
        f"{peak} had been {_signed(rise)} against the base."
    )


def _rl(pooled: pd.DataFrame, seen: pd.DataFrame) -> str:
    gain = _find(pooled, "rl_gain", _OOD)
    if gain is None:
        return "RL: no result of a landmark rl_end in this study, so nothing is said about it."
    return f"RL ({_steps(seen, 'rl_end')}) {_back(gain)}{_cost(pooled, 'rl_gain', None)}."


def _surgery(pooled: pd.DataFrame, recipes: Sequence[Recipe]) -> list[str]:
    edits = [recipe for recipe in recipes if not recipe.control and recipe.layers is None]
    directions = _closest_to_top_20(edits, "directions")
    values = _closest_to_top_20(edits, "values")
    lines = []
    found = _edit(pooled, directions)
    if directions is not None and found is not None:
        cost = _cost(pooled, "over_patient", directions.name)
        lines.append(f"Donor directions ({directions.name}) {_back(found)}{cost}.")
        for contrast, what in (
            ("over_equal_norm", "Plain interpolation of equal size"),
            ("over_equal_loss", "Plain interpolation at equal ID loss"),
            ("over_rollback", "Rolling the same matrices back"),
        ):
            lines += _control(pooled, contrast, what, directions)
    aligned = _closest_to_top_20(edits, "aligned")
    found = _edit(pooled, aligned)
    if aligned is not None and found is not None:
        cost = _cost(pooled, "over_patient", aligned.name)
        lines.append(f"Directions kept orthonormal ({aligned.name}) {_back(found)}{cost}.")
    found = _edit(pooled, values)
    if values is not None and found is not None:
        lines.append(f"Donor singular values ({values.name}) {_back(found)}: {_tost(found)}.")
    return lines or ["Surgery: no edit of this study was evaluated on these landmarks."]


def _edit(pooled: pd.DataFrame, recipe: Recipe | None) -> pd.Series | None:
    return None if recipe is None else _find(pooled, "over_patient", _OOD, recipe.name)


def _control(pooled: pd.DataFrame, contrast: str, what: str, directions: Recipe) -> list[str]:
    difference = _find(pooled, contrast, _OOD, directions.name)
    if difference is None:
        return []
    own = _find(pooled, "over_patient", _OOD, str(difference["reference"]))
    if own is None:
        return []
    cost = _cost(pooled, "over_patient", str(difference["reference"]))
    return [f"{what} {_back(own)}{cost}; directions minus it: {_signed(difference)}."]


def _closest_to_top_20(recipes: Sequence[Recipe], part: str) -> Recipe | None:
    """The recipe of this part whose band is nearest to the top 20 % of the papers."""
    found = [
        recipe
        for recipe in recipes
        if recipe.part == part
        and recipe.pairing == "index"
        and recipe.band is not None
        and recipe.band.where == "top"
        and recipe.band.fraction is not None
    ]
    return min(found, key=lambda recipe: abs(_fraction(recipe) - 0.2), default=None)


def _fraction(recipe: Recipe) -> float:
    return (recipe.band.fraction if recipe.band else None) or 0.0


def _find(
    pooled: pd.DataFrame, contrast: str, suite: tuple[str, str], treatment: str | None = None
) -> pd.Series | None:
    rows = pooled[(pooled["contrast"] == contrast) & (pooled["direction"] != "reverse")]
    rows = rows[(rows["split"] == suite[0]) & (rows["fold"] == suite[1])]
    if treatment is not None:
        rows = rows[rows["treatment"] == treatment]
    return None if rows.empty else rows.iloc[0]


def _steps(seen: pd.DataFrame, landmark: str) -> str:
    names = seen[seen["landmark"] == landmark]["checkpoint"]
    return ", ".join(names.iloc[0].split()) if len(names) else landmark


def _negative(row: pd.Series) -> pd.Series:
    changed = row.copy()
    changed[["points", "low", "high"]] = [0 - row["points"], 0 - row["high"], 0 - row["low"]]
    return changed


def _interval(row: pd.Series) -> str:
    return f"[{_number(row['low'])}, {_number(row['high'])}]"


def _number(value: float) -> str:
    """One digit after the point; what rounds to zero has no sign."""
    return f"{round(value, 1) + 0.0:.1f}"


def _doubt(row: pd.Series) -> str:
    return "" if row["low"] > 0 or row["high"] < 0 else ", which cannot be told from no change"


def _points(row: pd.Series) -> str:
    return f"{_number(row['points'])} points {_interval(row)}{_doubt(row)}"


def _signed(row: pd.Series) -> str:
    return f"{row['points']:+.1f} points {_interval(row)}{_doubt(row)}"


def _back(row: pd.Series) -> str:
    """The change from the patient, as given back or taken."""
    if row["points"] > 0:
        return f"gave back {_points(row)}"
    if row["points"] < 0:
        return f"took another {_points(_negative(row))}"
    return f"changed nothing on average {_interval(row)}"


def _cost(pooled: pd.DataFrame, contrast: str, treatment: str | None) -> str:
    change = _find(pooled, contrast, _LEARNED, treatment)
    if change is None:
        return ""
    lost = _negative(change)
    verb = "at an ID cost of" if lost["points"] >= 0 else "with an ID gain of"
    return f", {verb} {_points(lost if lost['points'] >= 0 else change)}"


def _tost(row: pd.Series) -> str:
    margin = f"{row['margin']:g} points"
    shown = (
        "equivalent to no edit" if row["equivalent"] else "not shown to be equivalent to no edit"
    )
    return f"{shown} within {margin} (TOST passes above {row['smallest_margin']:.1f})"
