# SPDX-License-Identifier: MIT
"""The result of a study in a few sentences, for the terminal; none is stronger than its CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from derotate.analysis.edit_matches import unmatched
from derotate.analysis.select_rows import POOLED
from derotate.config.recipes import Recipe
from derotate.report.estimates import Estimate, change
from derotate.report.format import number

_OOD = ("ood", "test")
_TRAINED = ("id", "train")
_PAPERS = 0.2
"""The top share of singular vectors or values that the papers restore."""
_CONTROLS = {
    "over_equal_norm": "Interpolation of equal norm",
    "over_equal_loss": "Interpolation of equal ID loss",
    "over_rollback": "Rollback of the same matrices",
}


def summary(
    contrasts: pd.DataFrame,
    stages: pd.DataFrame,
    edits: pd.DataFrame,
    recipes: Sequence[Recipe],
) -> list[str]:
    """Sentences about forgetting, RL, directions, controls and values, for each base.

    OOD accuracy is on test problems, ID accuracy on the problems that SFT trains on. Differences
    are in points with their 95 % CI, seeds pooled.

    Args:
        contrasts: from `contrasts.contrasts`.
        stages: from `tables.stages`, for the steps of the landmarks.
        edits: surgery_edits.csv, for controls that could not be matched.
        recipes: of the study.
    """
    lines: list[str] = []
    bases = sorted(set(stages["base_seed"]))
    for base_seed in bases:
        pooled = contrasts[(contrasts["base_seed"] == base_seed) & (contrasts["seed"] == POOLED)]
        own = stages[(stages["base_seed"] == base_seed) & (stages["seed"] == POOLED)]
        if len(bases) > 1:
            lines.append(f"Base of seed {base_seed}:")
        remarks = unmatched(edits[edits["base_seed"] == base_seed])
        lines += [_sft(pooled, own), _rl(pooled, own), *_surgery(pooled, recipes, remarks)]
    return lines


def _sft(pooled: pd.DataFrame, stages: pd.DataFrame) -> str:
    peak, end = (_steps(stages, name) for name in ("max_ood", "sft_end"))
    rise = _find(pooled, "peak_over_base", _OOD)
    lost = _find(pooled, "forgot", _OOD)
    if rise is None or lost is None:
        return "SFT: no OOD test results, so forgetting was not measured."
    return (
        f"SFT: OOD accuracy {_changed(_estimate(rise))} from the base to {peak}, "
        f"and {_changed(_estimate(lost).reversed)} from {peak} to {end}."
    )


def _rl(pooled: pd.DataFrame, stages: pd.DataFrame) -> str:
    gain = _find(pooled, "rl_gain", _OOD)
    if gain is None:
        return "RL: no result of a landmark rl_end in this study."
    return f"RL ({_steps(stages, 'rl_end')}): {_effect(pooled, 'rl_gain', None, gain)}."


def _surgery(
    pooled: pd.DataFrame, recipes: Sequence[Recipe], remarks: Mapping[str, str]
) -> list[str]:
    edits = [recipe for recipe in recipes if not recipe.control and recipe.layers is None]
    lines = []
    for part, name in (("directions", "Donor directions"), ("aligned", "Orthonormal directions")):
        recipe = _as_in_papers(edits, part)
        row = _edit(pooled, recipe)
        if recipe is None or row is None:
            continue
        effect = _effect(pooled, "over_patient", recipe.name, row)
        lines.append(f"{name} ({recipe.name}): {effect}.")
        if part == "directions":
            lines += [
                line
                for contrast in _CONTROLS
                for line in _control(pooled, contrast, recipe, remarks)
            ]
    values = _as_in_papers(edits, "values")
    row = _edit(pooled, values)
    if values is not None and row is not None:
        lines.append(
            f"Donor singular values ({values.name}): "
            f"OOD accuracy {_changed(_estimate(row))}; {_equivalence(row)}."
        )
    return lines or ["Surgery: no edit of this study was evaluated on these landmarks."]


def _edit(pooled: pd.DataFrame, recipe: Recipe | None) -> pd.Series | None:
    return None if recipe is None else _find(pooled, "over_patient", _OOD, recipe.name)


def _control(
    pooled: pd.DataFrame, contrast: str, directions: Recipe, remarks: Mapping[str, str]
) -> list[str]:
    """A control of the edit of directions, and the difference of the two; nothing without it."""
    difference = _find(pooled, contrast, _OOD, directions.name)
    if difference is None:
        return []
    name = str(difference["reference"])
    own = _find(pooled, "over_patient", _OOD, name)
    if own is None:
        return []
    minus = change(_estimate(difference), "{} more", "{} less", "{}")
    effect = _effect(pooled, "over_patient", name, own)
    remark = f" ({remarks[name]})" if name in remarks else ""
    return [f"{_CONTROLS[contrast]}{remark}: {effect}; directions give {minus}."]


def _as_in_papers(recipes: Sequence[Recipe], part: str) -> Recipe | None:
    """The recipe of a part whose band is nearest to the top 20 % of the papers."""
    candidates = [
        recipe
        for recipe in recipes
        if recipe.part == part
        and recipe.pairing == "index"
        and recipe.band is not None
        and recipe.band.where == "top"
        and recipe.band.fraction is not None
    ]
    return min(candidates, key=lambda recipe: abs(_fraction(recipe) - _PAPERS), default=None)


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


def _steps(stages: pd.DataFrame, landmark: str) -> str:
    names = stages[stages["landmark"] == landmark]["checkpoint"]
    return ", ".join(names.iloc[0].split()) if len(names) else landmark


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(row["points"], row["low"], row["high"])


def _changed(effect: Estimate) -> str:
    return change(effect, "rose by {}", "fell by {}", "changed by {}")


def _effect(pooled: pd.DataFrame, contrast: str, treatment: str | None, row: pd.Series) -> str:
    """Change of OOD accuracy, and of ID accuracy where it was measured."""
    text = f"OOD accuracy {_changed(_estimate(row))}"
    trained = _find(pooled, contrast, _TRAINED, treatment)
    return text if trained is None else f"{text}, ID accuracy {_changed(_estimate(trained))}"


def _equivalence(row: pd.Series) -> str:
    verdict = "equivalent to no edit" if row["equivalent"] else "not shown equivalent to no edit"
    margin = f"{row['margin']:g} points"
    return f"{verdict} within {margin} (TOST passes above {number(row['smallest_margin'])})"
