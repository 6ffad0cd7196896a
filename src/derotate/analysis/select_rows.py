# SPDX-License-Identifier: MIT
"""Selects the rows of a study's evaluations by checkpoint, landmark or seed.

`rows` has one row per problem and attempt: base_seed, seed (missing for the base), stage
(base, sft, rl, surgery), algorithm, start, step, donor, patient, recipe, direction, problem, split,
fold, cluster, decoding, attempt, correct, kind, loss. `landmarks` has one row per run:
base_seed, seed, max_ood, sft_end, rl_end_algorithm, rl_end_start, rl_end_step (the last three
missing without RL).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from derotate.study.checkpoint import Checkpoint

POOLED = "all"
"""Value of `seed` where the seeds of a base are pooled."""

LANDMARKS = ("base", "max_ood", "sft_end", "rl_end")


def greedy(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of greedy pass@1: greedy decoding, first attempt."""
    return rows[(rows["decoding"] == "greedy") & (rows["attempt"] == 0)]


def with_pooled_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their seed as text, then all rows once more with seed `POOLED`.

    The base has no seed. Each seed starts from it, so its rows repeat under each seed, and occur
    once in the pooled rows. `origin` keeps the seed of training, missing for the base.
    """
    rows = rows.assign(origin=rows["seed"].astype("Int64"))
    seeded = rows[rows["seed"].notna()]
    base = rows[rows["seed"].isna()].drop(columns="seed")
    started = base.merge(seeded[["base_seed", "seed"]].drop_duplicates(), on="base_seed")
    own = pd.concat([seeded, started], ignore_index=True)
    named = own.assign(seed=own["seed"].astype("Int64").astype(str))
    return pd.concat([named, rows.assign(seed=POOLED)], ignore_index=True)


def final_updates(rl: pd.DataFrame) -> pd.DataFrame:
    """Rows of the last evaluated update of each RL run."""
    last = rl.groupby(["base_seed", "seed", "algorithm", "start"])["step"].transform("max")
    return rl[rl["step"] == last]


def checkpoint_rows(rows: pd.DataFrame, base_seed: int, seed: int, name: str) -> pd.DataFrame:
    """Rows of one checkpoint under its seed, the base's too.

    Args:
        rows: as in the module's docstring.
        base_seed: of the base.
        seed: of SFT and RL.
        name: its label; `rl-ALGORITHM-START` stands for the last evaluated update of that run.

    Raises:
        ValueError: not a label.
    """
    checkpoint = Checkpoint.parse(name)
    own = rows[(rows["base_seed"] == base_seed) & (rows["stage"] == checkpoint.stage)]
    if checkpoint.stage == "base":
        return own.assign(seed=seed)
    own = own[own["seed"] == seed]
    if checkpoint.stage == "rl":
        algorithm = own["algorithm"] == checkpoint.algorithm
        own = own[algorithm & (own["start"] == checkpoint.start)]
        if checkpoint.step is None:
            return final_updates(own)
    return own[own["step"] == checkpoint.step]


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one seed: checkpoint by name, without `rl_end` if there was no RL."""

    base_seed: int
    seed: int
    checkpoints: Mapping[str, str]


def by_seed(landmarks: pd.DataFrame) -> list[Landmarks]:
    """The rows of the table of landmarks, in its order."""
    return [_landmarks(row) for row in landmarks.to_dict("records")]


def _landmarks(row: Mapping[Any, Any]) -> Landmarks:
    names = {
        "base": "base",
        "max_ood": Checkpoint.sft(int(row["max_ood"])).label,
        "sft_end": Checkpoint.sft(int(row["sft_end"])).label,
    }
    if pd.notna(row["rl_end_start"]):
        update = int(row["rl_end_step"]) if pd.notna(row["rl_end_step"]) else None
        start = int(row["rl_end_start"])
        names["rl_end"] = Checkpoint.rl(row["rl_end_algorithm"], start, update).label
    return Landmarks(int(row["base_seed"]), int(row["seed"]), names)


def at_landmarks(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Landmark, checkpoint and its greedy rows, per run; a landmark without rows is left out."""
    answers = greedy(rows)
    for own in by_seed(landmarks):
        for name, checkpoint in own.checkpoints.items():
            selected = checkpoint_rows(answers, own.base_seed, own.seed, checkpoint)
            if len(selected):
                yield name, checkpoint, selected
