# SPDX-License-Identifier: MIT
"""Pairs of checkpoints: the rows of treatment and reference of every contrast of a run.

The columns of the rows are described in `derotate.analysis.select_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import pandas as pd

from derotate.analysis.select_rows import Landmarks, checkpoint_rows, final_updates
from derotate.config.recipes import Recipe
from derotate.study.arms import ARMS
from derotate.study.checkpoint import Checkpoint

STAGE_CONTRASTS = (
    ("peak_over_base", "max_ood", "base"),
    ("forgot", "max_ood", "sft_end"),
    ("id_rise", "sft_end", "base"),
    ("rl_gain", "rl_end", "sft_end"),
)
"""Contrasts of landmarks: name, treatment, reference. They are computed on every suite; claims read
`id_rise` on ID train problems, the others on OOD test problems."""

PICKED_BY_LOSS = (("id", "selection"), ("ood", "selection"))
"""Suites whose lowest loss selects an SFT step, as in early stopping."""


@dataclass(frozen=True)
class Contrast:
    """One contrast of one run, with the rows of both checkpoints."""

    contrast: str
    direction: str
    treatment: str
    reference: str
    treatment_rows: pd.DataFrame
    reference_rows: pd.DataFrame


def run_contrasts(
    answers: pd.DataFrame, landmark: Landmarks, recipes: Sequence[Recipe]
) -> Iterator[Contrast]:
    """All contrasts of a run of which both checkpoints were evaluated.

    Args:
        answers: greedy rows of all runs.
        landmark: of the run.
        recipes: of the study.
    """
    own = answers[(answers["base_seed"] == landmark.base_seed) & (answers["seed"] == landmark.seed)]
    return chain(
        _stage_contrasts(answers, landmark),
        _loss_pick_contrasts(own, landmark),
        _rl_contrasts(own, landmark),
        _arm_contrasts(own, landmark),
        _surgery_contrasts(answers, landmark, recipes),
    )


def controls_of(recipe: Recipe, recipes: Sequence[Recipe]) -> dict[str, str]:
    """Names of the controls of an edit, by contrast; empty for a control.

    Rollback must edit the same matrices; random edits and the wrong donor must also have the band;
    interpolation is matched to the recipe by name.
    """
    if recipe.control:
        return {}
    controls: dict[str, str] = {}
    for other in recipes:
        same_place = (other.layers, other.matrices) == (recipe.layers, recipe.matrices)
        same_band = same_place and other.band == recipe.band
        if other.part == "rollback" and other.donor == "landmark" and same_place:
            controls.setdefault("over_rollback", other.name)
        elif other.part in ("random_rotation", "random_norm") and same_band:
            controls.setdefault(f"over_{other.part}", other.name)
        elif other.donor == "base" and other.part == recipe.part and same_band:
            if other.pairing == recipe.pairing:
                controls.setdefault("over_wrong_donor", other.name)
        elif other.reference is not None and other.reference[1] == recipe.name:
            kind = {"norm": "norm", "id_loss": "loss"}[other.reference[0]]
            controls.setdefault(f"over_equal_{kind}", other.name)
    return controls


def _stage_contrasts(answers: pd.DataFrame, landmark: Landmarks) -> Iterator[Contrast]:
    names = landmark.checkpoints
    for contrast, treatment, reference in STAGE_CONTRASTS:
        if treatment in names and reference in names:
            treatment_rows, reference_rows = (
                checkpoint_rows(answers, landmark.base_seed, landmark.seed, names[name])
                for name in (treatment, reference)
            )
            if len(treatment_rows) and len(reference_rows):
                yield Contrast(contrast, "", treatment, reference, treatment_rows, reference_rows)


def _loss_pick_contrasts(own: pd.DataFrame, landmark: Landmarks) -> Iterator[Contrast]:
    sft = own[own["stage"] == "sft"]
    peak = _step(own, landmark, "max_ood")
    for split, fold in PICKED_BY_LOSS:
        suite = sft[(sft["split"] == split) & (sft["fold"] == fold)]
        losses = suite.groupby("step")["loss"].mean().dropna()
        if len(losses) and len(peak):
            picked = sft[sft["step"] == losses.idxmin()]
            yield Contrast("over_loss_pick", "", "max_ood", f"{split}-{fold}", peak, picked)


def _rl_contrasts(own: pd.DataFrame, landmark: Landmarks) -> Iterator[Contrast]:
    runs = final_updates(own[own["stage"] == "rl"])
    sft = own[own["stage"] == "sft"]
    for (algorithm, start), treatment_rows in runs.groupby(["algorithm", "start"]):
        name = Checkpoint.rl(algorithm, start).label
        more = int(start + treatment_rows["step"].iloc[0])
        control = runs[(runs["algorithm"] == "shuffled") & (runs["start"] == start)]
        references = [
            ("rl_over_start", Checkpoint.sft(start).label, sft[sft["step"] == start]),
            # SFT for as many optimizer steps as RL took, from the same start.
            ("rl_over_more_sft", Checkpoint.sft(more).label, sft[sft["step"] == more]),
            ("rl_over_shuffled", Checkpoint.rl("shuffled", start).label, control),
            ("rl_over_peak", "max_ood", _step(own, landmark, "max_ood")),
        ]
        for contrast, reference, reference_rows in references:
            if len(reference_rows) and reference != name:
                yield Contrast(contrast, "", name, reference, treatment_rows, reference_rows)


def _arm_contrasts(own: pd.DataFrame, landmark: Landmarks) -> Iterator[Contrast]:
    references = [
        ("arm_over_sft_end", "sft_end", _step(own, landmark, "sft_end")),
        ("arm_over_peak", "max_ood", _step(own, landmark, "max_ood")),
    ]
    for arm in ARMS:
        trained = own[own["stage"] == arm]
        last = trained[trained["step"] == trained["step"].max()]
        for contrast, reference, reference_rows in references:
            if len(last) and len(reference_rows):
                yield Contrast(contrast, "", arm, reference, last, reference_rows)


def _step(own: pd.DataFrame, landmark: Landmarks, name: str) -> pd.DataFrame:
    """Rows of a landmark that is an SFT step."""
    step = Checkpoint.parse(landmark.checkpoints[name]).step
    return own[(own["stage"] == "sft") & (own["step"] == step)]


def _surgery_contrasts(
    answers: pd.DataFrame, landmark: Landmarks, recipes: Sequence[Recipe]
) -> Iterator[Contrast]:
    names = landmark.checkpoints
    own = answers[(answers["base_seed"] == landmark.base_seed) & (answers["seed"] == landmark.seed)]
    edited = own[own["stage"] == "surgery"]
    for direction, donor, patient in (
        ("forward", "max_ood", "sft_end"),
        ("reverse", "sft_end", "rl_end"),
    ):
        if donor not in names or patient not in names:
            continue
        sides = {
            name: checkpoint_rows(answers, landmark.base_seed, landmark.seed, names[landmarked])
            for name, landmarked in (("donor", donor), ("patient", patient))
        }
        cell = edited[edited["direction"] == direction]
        same = {name for name in cell["patient"].unique() if _same_run(name, names[patient])}
        cell = cell[cell["patient"].isin(same)]
        done = {
            recipe.name: _recipe_rows(cell, recipe, Checkpoint.parse(names[donor]).step)
            for recipe in recipes
        }
        for recipe in recipes:
            against = {f"over_{side}": (side, frame) for side, frame in sides.items()}
            for contrast, control in controls_of(recipe, recipes).items():
                against[contrast] = (control, done[control])
            for contrast, (reference, reference_rows) in against.items():
                if len(done[recipe.name]) and len(reference_rows):
                    treatment_rows = done[recipe.name]
                    yield Contrast(
                        contrast, direction, recipe.name, reference, treatment_rows, reference_rows
                    )


def _recipe_rows(cell: pd.DataFrame, recipe: Recipe, donor: int | None) -> pd.DataFrame:
    """Rows of a recipe with the donor of the landmark; the base as wrong donor has its own step."""
    rows = cell[cell["recipe"] == recipe.name]
    return rows if recipe.donor == "base" else rows[rows["donor"] == donor]


def _same_run(name: str, other: str) -> bool:
    """Whether two labels are one checkpoint; those of RL may omit the last update."""
    checkpoint = Checkpoint.parse(name)
    return name == other or checkpoint == replace(Checkpoint.parse(other), step=None)
