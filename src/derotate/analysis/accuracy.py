# SPDX-License-Identifier: MIT
"""Tables of accuracy, loss and errors from the rows of all evaluations.

Pure functions; `derotate.analysis.select_rows` describes the columns of `rows` and `landmarks`.
Accuracies and shares are in percent, with 95 % intervals clustered by the unit of hold-out (number
sets, routes). `seed` is text, `all` where the seeds of a base are pooled; `seeds` counts them (0:
the base's own rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from derotate.analysis.clustered_intervals import clustered_mean, pass_at_k
from derotate.analysis.select_rows import (
    LANDMARKS,
    POOLED,
    at_landmarks,
    final_updates,
    greedy,
    with_pooled_seeds,
)

CORRECT, ID_RULE, UNPARSABLE = "correct", "id_rule_applied", "unparsable"
"""The error kinds that every task has."""

CRITERIA = (
    ("lowest loss", "id", "selection"),
    ("lowest loss", "id", "test"),
    ("lowest loss", "ood", "selection"),
    ("highest accuracy", "id", "selection"),
    ("highest accuracy", "ood", "selection"),
)
"""Criteria that select an SFT step, by split and fold; the last step is one more."""

_CHECKPOINT = ["base_seed", "seed", "stage", "algorithm", "step", "update"]
_SUITE = ["split", "fold"]
_COUNTS = ["seeds", "n", "clusters"]


def accuracy_by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Pass@1 by SFT step, the base as step 0; after RL by the SFT step that it started from.

    Columns: base_seed, seed, stage (base, sft, rl), algorithm, step, update (the last of the RL
    run, else 0), split, fold, seeds, n, clusters, accuracy, low, high.
    """
    return _means(with_pooled_seeds(_by_step(rows)), [*_CHECKPOINT, *_SUITE], "correct", "accuracy")


def loss_by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean loss of the reference answer (nats per token) by SFT step, the base as step 0.

    Columns: base_seed, seed, stage, step, split, fold, seeds, n, clusters, loss, low, high.
    """
    measured = _by_step(rows)
    measured = measured[measured["loss"].notna() & (measured["stage"] != "rl")]
    keys = ["base_seed", "seed", "stage", "step", *_SUITE]
    return _means(with_pooled_seeds(measured), keys, "loss", "loss")


def ordered_kinds(graded: Iterable[str]) -> list[str]:
    """Error kinds in the order of tables and figures, from correct to unparsable.

    Args:
        graded: all kinds of a task in the order in which its grader checks them: the kinds that are
            checked first are farther from a correct answer.
    """
    own = [str(kind) for kind in graded if kind not in (CORRECT, ID_RULE, UNPARSABLE)]
    return [CORRECT, *reversed(own), ID_RULE, UNPARSABLE]


def errors_by_step(rows: pd.DataFrame, graded: Iterable[str]) -> pd.DataFrame:
    """Share of each error kind by SFT step and after RL, 0 where a kind does not occur.

    Args:
        rows: see `derotate.analysis.select_rows`.
        graded: the kinds of the task, its `answers.ErrorKind`.

    Returns:
        Columns base_seed, seed, stage, algorithm, step, update, split, fold, n, kind, share.
    """
    answers = with_pooled_seeds(_by_step(rows))
    keys = [*_CHECKPOINT, *_SUITE]
    kinds = ordered_kinds(graded)
    kinds += sorted(set(answers["kind"]) - set(kinds))
    counts = answers.groupby([*keys, "kind"]).size().unstack("kind", fill_value=0)
    counts = counts.reindex(columns=kinds, fill_value=0)
    n = counts.sum(axis=1)
    shares = (100 * counts.div(n, axis=0)).assign(n=n).reset_index()
    long = shares.melt([*keys, "n"], kinds, var_name="kind", value_name="share")
    order = {kind: place for place, kind in enumerate(kinds)}
    return long.sort_values(
        [*keys, "kind"], key=lambda column: column.map(order) if column.name == "kind" else column
    ).reset_index(drop=True)


def picks(losses: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """The SFT step that each criterion would select, and its accuracy on OOD test problems.

    Ties go to the earlier step. `best` is the highest OOD test accuracy of any SFT step. It is
    selected on the same scores that it reports, so it is biased upwards, and so is regret
    (best - accuracy).

    Args:
        losses: from `loss_by_step`.
        accuracies: from `accuracy_by_step`.

    Returns:
        Columns base_seed, seed, criterion, split, fold, step, accuracy, best_step, best, regret.
        Criteria whose suite was not evaluated are left out.
    """
    sft = accuracies[accuracies["stage"] == "sft"]
    records: list[tuple[Any, ...]] = []
    for (base_seed, seed), own in sft.groupby(["base_seed", "seed"]):
        curve = _curve(own, "accuracy", "ood", "test")
        if curve.empty:
            continue
        own_losses = losses[(losses["base_seed"] == base_seed) & (losses["seed"] == seed)]
        own_losses = own_losses[own_losses["stage"] == "sft"]
        chosen = []
        for criterion, split, fold in CRITERIA:
            if criterion == "lowest loss":
                scores = -_curve(own_losses, "loss", split, fold)
            else:
                scores = _curve(own, "accuracy", split, fold)
            scores = scores[scores.index.isin(curve.index)]
            if len(scores):
                chosen.append((criterion, split, fold, _step_of_highest(scores)))
        chosen.append(("last step", "", "", int(curve.index.max())))
        best_step = _step_of_highest(curve)
        best = curve[best_step]
        for criterion, split, fold, step in chosen:
            values = (step, curve[step], best_step, best, best - curve[step])
            records.append((base_seed, seed, criterion, split, fold, *values))
    names = ["step", "accuracy", "best_step", "best", "regret"]
    return pd.DataFrame(records, columns=["base_seed", "seed", "criterion", *_SUITE, *names])


def stages(rows: pd.DataFrame, landmarks: pd.DataFrame) -> pd.DataFrame:
    """Pass@1 of base, max_ood, sft_end and rl_end on every suite.

    In pooled rows each seed counts with its own landmark, and the base once.
    Columns: base_seed, seed, landmark, checkpoint (of that seed; all of them, pooled), split, fold,
    seeds, n, clusters, accuracy, low, high.
    """
    parts = [
        answers.assign(landmark=landmark, checkpoint=checkpoint)
        for landmark, checkpoint, answers in at_landmarks(rows, landmarks)
    ]
    keys = ["base_seed", "seed", "landmark"]
    if not parts:
        return pd.DataFrame(
            columns=[*keys, "checkpoint", *_SUITE, *_COUNTS, "accuracy", "low", "high"]
        )
    own = pd.concat(parts, ignore_index=True)
    own["seed"] = own["seed"].astype("Int64")
    own["origin"] = own["seed"].where(own["landmark"] != "base")
    repeated = (own["landmark"] == "base") & own.duplicated(["base_seed", "landmark", "problem"])
    named = own.assign(seed=own["seed"].astype(str))
    both = pd.concat([named, own[~repeated].assign(seed=POOLED)])
    names = both.groupby(keys)["checkpoint"].unique().map(" ".join)
    table = _means(both, [*keys, *_SUITE], "correct", "accuracy")
    table = table.merge(names.reset_index(), on=keys)
    table.insert(3, "checkpoint", table.pop("checkpoint"))
    order = table["landmark"].map(LANDMARKS.index)
    return (
        table.assign(order=order)
        .sort_values(["base_seed", "seed", "order", *_SUITE])
        .drop(columns="order")
        .reset_index(drop=True)
    )


def sampled_pass_at_k(rows: pd.DataFrame, ks: Sequence[int] = (1, 2, 4, 8)) -> pd.DataFrame:
    """pass@k from independent samples, for each k up to the number of samples per problem.

    Columns: base_seed, seed, stage, algorithm, step, update, split, fold, k, seeds, n (problems),
    clusters, pass_at_k, low, high.
    """
    samples = _by_step(rows, decoding="sample")
    keys = [*_CHECKPOINT, *_SUITE, "problem", "cluster"]
    counts = samples.groupby(keys, dropna=False)["correct"].agg(["size", "sum"]).reset_index()
    tallies = counts["size"], counts["sum"]
    possible = [k for k in ks if len(counts) and k <= counts["size"].min()]
    tables = [
        counts.assign(k=k, chance=[pass_at_k(*nc, k) for nc in zip(*tallies, strict=True)])
        for k in possible
    ]
    long = pd.concat(tables) if tables else counts.assign(k=0, chance=0.0)
    return _means(with_pooled_seeds(long), [*_CHECKPOINT, *_SUITE, "k"], "chance", "pass_at_k")


def feedback_attempts(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of problems solved within k attempts, each after the verifier's feedback.

    Columns: base_seed, seed, stage, algorithm, step, update, split, fold, attempts (k), seeds, n,
    clusters, solved, low, high.
    """
    tries = _by_step(rows, decoding="feedback")
    keys = [*_CHECKPOINT, *_SUITE, "problem", "cluster"]
    most = int(tries["attempt"].max()) + 1 if len(tries) else 0
    tables = [
        tries[tries["attempt"] < k].groupby(keys, dropna=False)["correct"].max().reset_index()
        for k in range(1, most + 1)
    ]
    long = pd.concat(
        [table.assign(attempts=k) for k, table in enumerate(tables, start=1)]
        or [tries.assign(attempts=0)]
    )
    return _means(with_pooled_seeds(long), [*_CHECKPOINT, *_SUITE, "attempts"], "correct", "solved")


def episodes_by_step(
    rows: pd.DataFrame, succeeded: Callable[[pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """Success of complete episodes (routes) by SFT step, the base as step 0, and after RL.

    Args:
        rows: see `derotate.analysis.select_rows`.
        succeeded: from an evaluation of one checkpoint, a row for each episode: rule, fold,
            cluster, success (0 or 1), as the part `success` of a task gives them.

    Returns:
        Columns base_seed, seed, stage, algorithm, step, update, split (whose rule the episode
        follows), fold, attempts (a problem may take so many), seeds, n (episodes), clusters,
        success (percent), low, high.
    """
    parts = []
    for attempts, tries in _within_attempts(rows):
        for key, own in tries.groupby(_CHECKPOINT, dropna=False):
            found = succeeded(own).rename(columns={"rule": "split"})
            where = dict(zip(_CHECKPOINT, key, strict=True))
            parts.append(found.assign(**where, attempts=attempts))
    keys = [*_CHECKPOINT, *_SUITE, "attempts"]
    if not parts:
        return pd.DataFrame(columns=[*keys, *_COUNTS, "success", "low", "high"])
    return _means(
        with_pooled_seeds(pd.concat(parts, ignore_index=True)), keys, "success", "success"
    )


def _within_attempts(rows: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The greedy answers as one attempt, then the rows of the first two, three, ... attempts."""
    yield 1, _by_step(rows)
    tries = _by_step(rows, decoding="feedback")
    for count in range(2, int(tries["attempt"].max()) + 2 if len(tries) else 2):
        yield count, tries[tries["attempt"] < count]


def _by_step(rows: pd.DataFrame, decoding: str = "greedy") -> pd.DataFrame:
    """Rows of base, SFT and final RL checkpoints: `step` is SFT's, `update` RL's (0 without)."""
    some = greedy(rows) if decoding == "greedy" else rows[rows["decoding"] == decoding]
    tuned = some[some["stage"] == "sft"]
    base = some[some["stage"] == "base"]
    final = final_updates(some[some["stage"] == "rl"])
    table = pd.concat(
        [
            base.assign(step=0, update=0, algorithm=""),
            tuned.assign(update=0, algorithm=""),
            final.assign(update=final["step"], step=final["start"]),
        ],
        ignore_index=True,
    )
    return table.astype({"step": "int64", "update": "int64"})


def _means(frame: pd.DataFrame, keys: list[str], value: str, name: str) -> pd.DataFrame:
    """Clustered mean of `value` by `keys`; verdicts and chances (0 to 1) become percent."""
    bounded = value != "loss"
    records = []
    for key, group in frame.groupby(keys):
        support = (0.0, 1.0) if bounded else None
        estimate = clustered_mean(group[value], group["cluster"], support=support)
        estimate = estimate.scaled(100) if bounded else estimate
        counts = (group["origin"].nunique(), estimate.n, estimate.clusters)
        records.append((*key, *counts, estimate.mean, estimate.low, estimate.high))
    return pd.DataFrame(records, columns=[*keys, *_COUNTS, name, "low", "high"])


def _curve(table: pd.DataFrame, value: str, split: str, fold: str) -> pd.Series:
    """`value` by step, ascending."""
    suite = table[(table["split"] == split) & (table["fold"] == fold)]
    return suite.set_index("step")[value].sort_index()


def _step_of_highest(scores: pd.Series) -> int:
    """The earliest step with the highest score."""
    return int(scores.index[int(np.argmax(scores.to_numpy()))])
