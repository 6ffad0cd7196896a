# SPDX-License-Identifier: MIT
"""The phase diagram as a table: OOD accuracy gained and lost by each SFT run, and at which step.

A run is one learning rate from one base. Runs are compared after the same number of steps and at
the same ID accuracy: a run with a small rate that has not learned the task had no occasion to
forget. So the loss is given twice, at the end and at the first step whose ID accuracy reaches
`MATCHED`.

`rows` has one row per problem and attempt: base_seed, seed, base_steps, learning_rate, step
(a base has neither seed nor learning rate, and step 0), problem, split, fold, cluster, decoding,
attempt, correct. Accuracies are in percent, `ood` on test problems, `id` on trained ones.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from derotate.analysis.clustered_intervals import paired_difference
from derotate.analysis.select_rows import greedy

LEARNED: Final = 90.0
"""A run whose ID accuracy (percent) stays below this at every step has not learned the task."""
MATCHED: Final = 95.0
"""ID accuracy (percent) at which runs are compared."""

COLUMNS: Final = [
    "base_seed", "seed", "base_steps", "learning_rate", "base_ood", "base_id",
    "peak_step", "peak_ood", "gained", "gained_low", "gained_high",
    "end_step", "end_ood", "end_id", "end_lost", "end_lost_low", "end_lost_high",
    "id_highest", "learned",
    "matched_step", "matched_ood", "matched_id",
    "matched_lost", "matched_lost_low", "matched_lost_high",
    "n", "clusters",
]  # fmt: skip

_RUN = COLUMNS[:4]
_SELECTION, _TEST, _TRAINED = ("ood", "selection"), ("ood", "test"), ("id", "train")


def phase(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per run: its base, its peak, its end, and where ID accuracy first reaches `MATCHED`.

    The peak is the earliest step of highest OOD accuracy on the *selection* fold, the base being
    step 0, and is scored on the test fold. The loss at a step is OOD test accuracy of the peak *up
    to that step* minus that of the step, so a run that still rises has lost nothing. Gain and
    losses are in points, with 95 % intervals of paired problems, clustered by number set (see
    `clustered_intervals.clustered_mean`). There is no interval where the peak is the step itself.

    Returns:
        `COLUMNS`: base_*, accuracy of the base; peak_*, and gained, the peak minus the base; end_*,
        the last step; id_highest, the highest ID accuracy of any step, and learned, whether it is
        at least `LEARNED`; matched_*, the first step of ID accuracy `MATCHED`, empty if there is
        none; n, clusters: OOD test problems and their number sets.

    Raises:
        ValueError: a run without its base, a checkpoint without one of the three suites, or
            checkpoints that answered different problems.
    """
    answers = greedy(rows)
    bases, trained = answers[answers["seed"].isna()], answers[answers["seed"].notna()]
    records = []
    for key, own in trained.groupby(_RUN):
        base_seed, seed, base_steps, rate = key
        base = bases[(bases["base_seed"] == base_seed) & (bases["base_steps"] == base_steps)]
        course = pd.concat([base, own], ignore_index=True)
        where = f"base {base_seed} of {base_steps} steps, seed {seed}, rate {rate:g}"
        records.append(dict(zip(_RUN, key, strict=True)) | _run(course, where))
    table = pd.DataFrame(records, columns=COLUMNS)
    return table.astype({"matched_step": "Int64"})


def _run(course: pd.DataFrame, where: str) -> dict[str, Any]:
    """Gains and losses of a run, from the rows of its base and of its checkpoints."""
    chosen_by, ood, learned = (_accuracy(course, suite) for suite in (_SELECTION, _TEST, _TRAINED))
    steps = sorted(course["step"].unique())
    if steps[0] != 0 or any(list(scores.index) != steps for scores in (chosen_by, ood, learned)):
        raise ValueError(
            f"phase diagram: {where}: got steps {steps}, expected the base as step 0 and problems "
            "of OOD selection, OOD test and ID train at each; evaluate what is missing"
        )
    test = _suite(course, _TEST)

    def over(name: str, better: int, step: int) -> dict[str, float]:
        a, b = (test[test["step"] == at] for at in (better, step))
        found = paired_difference(a, b, on=["problem"]).scaled(100)
        ends = (np.nan, np.nan) if better == step else (found.low, found.high)
        return {name: found.mean, f"{name}_low": ends[0], f"{name}_high": ends[1]}

    def at(name: str, step: int) -> dict[str, Any]:
        return {
            f"{name}_step": step,
            f"{name}_ood": ood[step],
            f"{name}_id": learned[step],
            **over(f"{name}_lost", _highest(chosen_by[:step]), step),
        }

    peak = _highest(chosen_by)
    reached = learned.index[learned >= MATCHED]
    return {
        "base_ood": ood[0],
        "base_id": learned[0],
        "peak_step": peak,
        "peak_ood": ood[peak],
        **over("gained", peak, 0),
        **at("end", steps[-1]),
        "id_highest": learned.max(),
        "learned": bool(learned.max() >= LEARNED),
        **(at("matched", reached[0]) if len(reached) else {}),
        "n": int((test["step"] == 0).sum()),
        "clusters": test["cluster"].nunique(),
    }


def _suite(course: pd.DataFrame, suite: tuple[str, str]) -> pd.DataFrame:
    """Rows of a split and fold."""
    return course[(course["split"] == suite[0]) & (course["fold"] == suite[1])]


def _accuracy(course: pd.DataFrame, suite: tuple[str, str]) -> pd.Series:
    """Percent correct by step, ascending."""
    return 100 * _suite(course, suite).groupby("step")["correct"].mean()


def _highest(scores: pd.Series) -> int:
    """The earliest step of the highest score."""
    return int(scores.index[scores.to_numpy().argmax()])
