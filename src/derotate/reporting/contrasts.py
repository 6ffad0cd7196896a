# SPDX-License-Identifier: MIT
"""Differences between checkpoints on the same problems: what was forgotten, what came back.

Pure functions; the columns of `rows` and `landmarks` are described in `derotate.reporting.cells`.
Differences are in points (percent of problems), with 95 % intervals that pair problems within a
seed and cluster by number set; pooled (`seed` = all), each seed counts with its own landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from derotate.evidence.statistics import clustered_mean, equivalence, paired
from derotate.reporting.cells import (
    POOLED,
    Landmarks,
    by_seed,
    checkpoint_rows,
    final_updates,
    greedy,
)
from derotate.spectral.recipes import Recipe

STAGE_CONTRASTS = (
    ("peak_over_base", "max_ood", "base"),
    ("forgot", "max_ood", "sft_end"),
    ("id_rise", "sft_end", "base"),
    ("rl_gain", "rl_end", "sft_end"),
)
"""Contrasts of the stage table: treatment minus reference. All are made on every suite; `id_rise`
is meant on id train problems, the others on ood test problems."""

ARMS = ("lora", "oracle")
"""Arms beside SFT."""

_KEYS = ["contrast", "direction", "treatment", "reference"]
_SUITE = ["split", "fold"]
_COLUMNS = [
    "base_seed", "seed", *_KEYS, *_SUITE, "seeds", "n", "clusters", "points", "low", "high",
    "standard_error", "margin", "equivalence_p", "equivalent", "smallest_margin",
]  # fmt: skip


@dataclass(frozen=True)
class _Contrast:
    """One contrast in one seed: what it is called and the rows of both sides."""

    contrast: str
    direction: str
    treatment: str
    reference: str
    treated: pd.DataFrame
    referred: pd.DataFrame


def contrasts(
    rows: pd.DataFrame,
    landmarks: pd.DataFrame,
    recipes: Sequence[Recipe] = (),
    margin: float = 2.0,
) -> pd.DataFrame:
    """All contrasts of the study on all suites that both sides answered, by seed and pooled.

    - those of `STAGE_CONTRASTS`; `forgot` is max_ood - sft_end, positive where something was lost;
    - `rl_over_start`: the last update of each RL run minus the SFT step that it started from;
    - `rl_over_more_sft`: minus SFT that went on for as many optimizer steps; `rl_over_shuffled`:
      minus RL from the same start whose rewards were shuffled;
    - `arm_over_sft_end`: the last step of an arm beside SFT minus the end of SFT;
    - `over_patient`, `over_donor`: each recipe minus patient and donor;
    - `over_rollback`, `over_equal_norm`, `over_equal_loss`, `over_random_rotation`,
      `over_random_norm`, `over_wrong_donor`: each edit minus its control (see `controls_of`).

    TOST against `margin` points stands beside every difference (see `statistics.equivalence`).

    Returns:
        Columns base_seed, seed, contrast, direction (forward, reverse or ""), treatment, reference,
        split, fold, seeds, n (pairs), clusters, points, low, high, standard_error, margin,
        equivalence_p, equivalent, smallest_margin. Contrasts without rows are left out.

    Raises:
        ValueError: two sides that were evaluated on different problems of a suite.
    """
    answers = greedy(rows)
    pairs = [
        difference.assign(
            contrast=item.contrast,
            direction=item.direction,
            treatment=item.treatment,
            reference=item.reference,
        )
        for landmark in by_seed(landmarks)
        for item in chain(
            _of_stages(answers, landmark),
            _of_rl_runs(answers, landmark),
            _of_arms(answers, landmark),
            _of_surgery(answers, landmark, recipes),
        )
        for difference in [_differences(item, landmark)]
    ]
    if not pairs:
        return pd.DataFrame(columns=_COLUMNS)
    own = pd.concat(pairs, ignore_index=True)
    own["origin"] = own["seed"]
    both = pd.concat([own.assign(seed=own["seed"].astype(str)), own.assign(seed=POOLED)])
    order = {name: place for place, name in enumerate(dict.fromkeys(own["contrast"]))}
    records = []
    for key, group in both.groupby(["base_seed", "seed", *_KEYS, *_SUITE]):
        support = (-1.0, 1.0)
        estimate = clustered_mean(group["difference"], group["cluster"], support=support).scaled(
            100
        )
        tost = equivalence(estimate, margin)
        records.append(
            (*key, group["origin"].nunique(), estimate.n, estimate.clusters, estimate.mean,
             estimate.low, estimate.high, estimate.standard_error, margin, tost.p, tost.passes,
             tost.smallest_margin)
        )  # fmt: skip
    table = pd.DataFrame(records, columns=_COLUMNS)
    return (
        table.assign(order=table["contrast"].map(order))
        .sort_values(["base_seed", "seed", "order", *_KEYS[1:], *_SUITE], kind="stable")
        .drop(columns="order")
        .reset_index(drop=True)
    )


def controls_of(recipe: Recipe, recipes: Sequence[Recipe]) -> dict[str, str]:
    """Names of the controls of an edit, by contrast; empty for a control.

    Rollback must edit the same matrices; random edits and the wrong donor must also have the band;
    interpolation is matched to the recipe by name.
    """
    if recipe.control:
        return {}
    found: dict[str, str] = {}
    for other in recipes:
        same_place = (other.layers, other.matrices) == (recipe.layers, recipe.matrices)
        same_band = same_place and other.band == recipe.band
        if other.part == "rollback" and other.donor == "landmark" and same_place:
            found.setdefault("over_rollback", other.name)
        elif other.part in ("random_rotation", "random_norm") and same_band:
            found.setdefault(f"over_{other.part}", other.name)
        elif other.donor == "base" and other.part == recipe.part and same_band:
            if other.pairing == recipe.pairing:
                found.setdefault("over_wrong_donor", other.name)
        elif other.reference is not None and other.reference[1] == recipe.name:
            kind = {"norm": "norm", "id_loss": "loss"}[other.reference[0]]
            found.setdefault(f"over_equal_{kind}", other.name)
    return found


def surgery_plane(
    contrasts: pd.DataFrame, recipes: Sequence[Recipe], id_fold: str = "train"
) -> pd.DataFrame:
    """Each recipe as a point: ID accuracy lost and OOD accuracy gained, both against the patient.

    The donor and, forward, the RL result are points too (role `reference`).

    Args:
        contrasts: from `contrasts`.
        recipes: of the study.
        id_fold: which ID problems count as lost; `train` are those that SFT learned.

    Returns:
        Columns base_seed, seed, direction, recipe, part, role (recipe, control, reference),
        id_fold, id_lost, id_lost_low, id_lost_high, ood_gained, ood_gained_low, ood_gained_high.
    """
    known = {recipe.name: recipe for recipe in recipes}
    edits = contrasts[contrasts["contrast"] == "over_patient"]
    edits = edits[edits["treatment"].isin(list(known))]
    edits = edits.assign(
        part=[known[name].part for name in edits["treatment"]],
        role=["control" if known[name].control else "recipe" for name in edits["treatment"]],
        recipe=edits["treatment"],
    )
    references = [
        _as_reference(contrasts, "forgot", "forward", "donor", 1),
        _as_reference(contrasts, "rl_gain", "forward", "rl_end", 1),
        _as_reference(contrasts, "rl_gain", "reverse", "donor", -1),
    ]
    points = pd.concat([edits, *references], ignore_index=True)
    directions = set(edits["direction"])
    points = points[points["direction"].isin(directions)]
    keys = ["base_seed", "seed", "direction", "recipe", "part", "role"]
    lost = points[(points["split"] == "id") & (points["fold"] == id_fold)]
    gained = points[(points["split"] == "ood") & (points["fold"] == "test")]
    table = lost.assign(
        id_fold=id_fold,
        id_lost=0 - lost["points"],
        id_lost_low=0 - lost["high"],
        id_lost_high=0 - lost["low"],
    )[[*keys, "id_fold", "id_lost", "id_lost_low", "id_lost_high"]].merge(
        gained.rename(
            columns={"points": "ood_gained", "low": "ood_gained_low", "high": "ood_gained_high"}
        )[[*keys, "ood_gained", "ood_gained_low", "ood_gained_high"]],
        on=keys,
    )
    return table.sort_values(keys).reset_index(drop=True)


def _as_reference(
    contrasts: pd.DataFrame, contrast: str, direction: str, name: str, sign: int
) -> pd.DataFrame:
    """A stage contrast, or its negative, as the point of a checkpoint in the plane."""
    found = contrasts[contrasts["contrast"] == contrast]
    ends = {"low": sign * found["low"], "high": sign * found["high"]}
    if sign < 0:
        ends = {"low": ends["high"], "high": ends["low"]}
    return found.assign(
        points=sign * found["points"],
        **ends,
        direction=direction,
        recipe=name,
        part="reference",
        role="reference",
    )


def _differences(item: _Contrast, landmark: Landmarks) -> pd.DataFrame:
    """Paired differences of one seed on the suites that both sides answered."""
    columns = [*_SUITE, "problem", "cluster", "correct"]
    shared = item.treated[_SUITE].drop_duplicates().merge(item.referred[_SUITE].drop_duplicates())
    treated, referred = (
        side[columns].merge(shared, on=_SUITE) for side in (item.treated, item.referred)
    )
    try:
        pairs = paired(treated, referred, on=[*_SUITE, "problem"])
    except ValueError as error:
        where = f"{item.treatment} against {item.reference}, seed {landmark.seed}"
        raise ValueError(f"{where}: {error}") from None
    return pairs.assign(base_seed=landmark.base_seed, seed=landmark.seed)


def _of_stages(answers: pd.DataFrame, landmark: Landmarks) -> Iterator[_Contrast]:
    names = landmark.checkpoints
    for contrast, treatment, reference in STAGE_CONTRASTS:
        if treatment in names and reference in names:
            treated, referred = (
                checkpoint_rows(answers, landmark.base_seed, landmark.seed, names[name])
                for name in (treatment, reference)
            )
            if len(treated) and len(referred):
                yield _Contrast(contrast, "", treatment, reference, treated, referred)


def _of_rl_runs(answers: pd.DataFrame, landmark: Landmarks) -> Iterator[_Contrast]:
    own = answers[(answers["base_seed"] == landmark.base_seed) & (answers["seed"] == landmark.seed)]
    runs = final_updates(own[own["stage"] == "rl"])
    for (algorithm, start), treated in runs.groupby(["algorithm", "start"]):
        name = f"rl-{algorithm}-{start}"
        more = int(start + treated["step"].iloc[0])
        sft = own[own["stage"] == "sft"]
        control = runs[(runs["algorithm"] == "shuffled") & (runs["start"] == start)]
        references = [
            ("rl_over_start", f"sft-{start}", sft[sft["step"] == start]),
            # as many optimizer steps of SFT
            ("rl_over_more_sft", f"sft-{more}", sft[sft["step"] == more]),
            ("rl_over_shuffled", f"rl-shuffled-{start}", control),
        ]
        for contrast, reference, referred in references:
            if len(referred) and reference != name:
                yield _Contrast(contrast, "", name, reference, treated, referred)


def _of_arms(answers: pd.DataFrame, landmark: Landmarks) -> Iterator[_Contrast]:
    own = answers[(answers["base_seed"] == landmark.base_seed) & (answers["seed"] == landmark.seed)]
    end = checkpoint_rows(
        answers, landmark.base_seed, landmark.seed, landmark.checkpoints["sft_end"]
    )
    for arm in ARMS:
        trained = own[own["stage"] == arm]
        if len(trained) and len(end):
            last = trained[trained["step"] == trained["step"].max()]
            yield _Contrast("arm_over_sft_end", "", arm, "sft_end", last, end)


def _of_surgery(
    answers: pd.DataFrame, landmark: Landmarks, recipes: Sequence[Recipe]
) -> Iterator[_Contrast]:
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
            recipe.name: _of_recipe(cell, recipe, int(names[donor].removeprefix("sft-")))
            for recipe in recipes
        }
        for recipe in recipes:
            against = {f"over_{side}": (side, frame) for side, frame in sides.items()}
            for contrast, control in controls_of(recipe, recipes).items():
                against[contrast] = (control, done[control])
            for contrast, (reference, referred) in against.items():
                if len(done[recipe.name]) and len(referred):
                    treated = done[recipe.name]
                    yield _Contrast(contrast, direction, recipe.name, reference, treated, referred)


def _of_recipe(cell: pd.DataFrame, recipe: Recipe, donor: int) -> pd.DataFrame:
    """Rows of a recipe from the landmark's donor; the wrong donor has a step of its own."""
    rows = cell[cell["recipe"] == recipe.name]
    return rows if recipe.donor == "base" else rows[rows["donor"] == donor]


def _same_run(name: str, other: str) -> bool:
    """Whether two names are one checkpoint; RL results may leave out their last update."""
    return name == other or (name.startswith("rl-") and other.startswith(f"{name}-"))
