# SPDX-License-Identifier: MIT
"""Paired differences between checkpoints on the same problems: forgetting and recovery.

Pure functions; `derotate.analysis.select_rows` describes the columns of `rows` and `landmarks`.
Differences are in points (percent of problems). Their 95 % intervals are robust to dependence
within clusters (number sets). In pooled rows (`seed` = all) each seed counts with its own
landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from derotate.analysis.clustered_intervals import clustered_mean, equivalence, paired
from derotate.analysis.comparisons import Contrast, run_contrasts
from derotate.analysis.select_rows import POOLED, Landmarks, by_seed, greedy
from derotate.config.recipes import Recipe

_KEYS = ["contrast", "direction", "treatment", "reference"]
_SUITE = ["split", "fold"]
_COLUMNS = [
    "base_seed", "seed", *_KEYS, *_SUITE, "seeds", "n", "clusters", "points", "low", "high",
    "standard_error", "margin", "equivalence_p", "equivalent", "smallest_margin",
]  # fmt: skip


def contrasts(
    rows: pd.DataFrame,
    landmarks: pd.DataFrame,
    recipes: Sequence[Recipe] = (),
    margin: float = 2.0,
) -> pd.DataFrame:
    """All contrasts of the study on all suites that both sides answered, by seed and pooled.

    The pairs of checkpoints, from `derotate.analysis.comparisons`:

    - those of `STAGE_CONTRASTS`; `forgot` is max_ood - sft_end, positive where something was lost;
    - `over_loss_pick`: max_ood minus the SFT step of lowest loss on a suite, named as reference;
    - `rl_over_start`: the last update of each RL run minus the SFT step that it started from;
    - `rl_over_more_sft`: minus SFT continued for as many optimizer steps; `rl_over_shuffled`:
      minus RL from the same start whose rewards were shuffled; `rl_over_peak`: minus max_ood;
    - `arm_over_sft_end`, `arm_over_peak`: the last step of an arm beside SFT minus the end of SFT,
      and minus max_ood;
    - `over_patient`, `over_donor`: each recipe minus patient and donor;
    - `over_rollback`, `over_equal_norm`, `over_equal_loss`, `over_random_rotation`,
      `over_random_norm`, `over_wrong_donor`: each edit minus its control (see `controls_of`).

    Every row has a TOST against `margin` points (see `clustered_intervals.equivalence`).

    Returns:
        Columns base_seed, seed, contrast, direction (forward, reverse or ""), treatment, reference,
        split, fold, seeds, n (pairs), clusters, points, low, high, standard_error, margin,
        equivalence_p, equivalent, smallest_margin. Contrasts without rows are left out.

    Raises:
        ValueError: two checkpoints were evaluated on different problems of a suite.
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
        for item in run_contrasts(answers, landmark, recipes)
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


def surgery_plane(
    contrasts: pd.DataFrame, recipes: Sequence[Recipe], id_fold: str = "train"
) -> pd.DataFrame:
    """Each recipe as a point: ID accuracy lost and OOD accuracy gained, both against the patient.

    The donor and, in forward surgery, the RL result are points too (role `reference`).

    Args:
        contrasts: from `contrasts`.
        recipes: of the study.
        id_fold: fold of the ID problems; `train` are those that SFT learned.

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


def _differences(item: Contrast, landmark: Landmarks) -> pd.DataFrame:
    """Paired differences of one run on the suites that both checkpoints answered."""
    columns = [*_SUITE, "problem", "cluster", "correct"]
    shared = (
        item.treatment_rows[_SUITE]
        .drop_duplicates()
        .merge(item.reference_rows[_SUITE].drop_duplicates())
    )
    treatment_rows, reference_rows = (
        side[columns].merge(shared, on=_SUITE)
        for side in (item.treatment_rows, item.reference_rows)
    )
    try:
        pairs = paired(treatment_rows, reference_rows, on=[*_SUITE, "problem"])
    except ValueError as error:
        where = f"{item.treatment} against {item.reference}, seed {landmark.seed}"
        raise ValueError(f"{where}: {error}") from None
    return pairs.assign(base_seed=landmark.base_seed, seed=landmark.seed)
