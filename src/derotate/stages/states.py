# SPDX-License-Identifier: MIT
"""Hidden states and next tokens of a run's landmarks: does RL bring them back to the peak?

Whether RL comes nearer to the peak is asked beside whether it comes nearer to the base: a step back
of any kind would do both. The forward KL to the base on ID prompts is the predictor of forgetting
of arXiv 2509.04259.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import nan
from pathlib import Path

import pandas as pd

from derotate import tasks
from derotate.analysis.clustered_intervals import clustered_mean
from derotate.diagnostics import LANDMARKS
from derotate.diagnostics.collect import collect_states, forward_divergence
from derotate.diagnostics.recovery import COLUMNS, diagnose_states
from derotate.diagnostics.states import Floats, States
from derotate.files.atomic import atomic_write
from derotate.models import checkpoint as checkpoints
from derotate.models.chat import Prompt
from derotate.models.device import fastest
from derotate.stages.data import read_problems

FOLD = "test"
LEARNED = "id"
"""The split whose rule SFT trains, on which the divergence from the base is measured."""
FEWEST = 3
"""Clusters (number sets, networks) below which a suite is left out: intervals leave each out."""


@dataclass(frozen=True)
class Suite:
    """What is asked of every checkpoint: prompts of a split, their answers and clusters."""

    split: str
    prompts: tuple[Prompt, ...]
    answers: tuple[str, ...]
    clusters: tuple[str, ...]


def compare_states(
    task: str,
    *,
    style: str,
    landmarks: Mapping[str, Path],
    problems: Path,
    prompts: int,
    batch_size: int,
    out: Path,
) -> None:
    """Write `diagnose_states` towards the peak and towards the base, and the divergences.

    States are those of the last position of a prompt, from which the answer's first token comes.

    Args:
        task: name of the task.
        style: of its prompts.
        landmarks: checkpoint directory of each of `LANDMARKS`; two may be the same.
        problems: CSV of the evaluated problems.
        prompts: how many of a suite are used.
        batch_size: prompts in a batch.
        out: Parquet with split, fold and the columns of `recovery.COLUMNS`; the metric `forward_kl`
            of a pair base:X is KL(base || X) in nats a token.
    """
    asked = suites(task, style, problems, prompts)
    base, tokenizer = checkpoints.load(landmarks["base"], device=fastest())
    states: dict[str, dict[str, States]] = {suite.split: {} for suite in asked}
    parts = []
    for name in LANDMARKS:
        model = base if name == "base" else checkpoints.load(landmarks[name], device=fastest())[0]
        for suite in asked:
            states[suite.split][name] = collect_states(model, tokenizer, suite.prompts, batch_size)
            if suite.split == LEARNED and name != "base":
                values = forward_divergence(
                    base, model, tokenizer, suite.prompts, suite.answers, batch_size
                )
                found = _divergence(f"base:{name}", values, suite.clusters)
                parts.append(found.assign(split=suite.split))
    for suite in asked:
        for reference in ("max_ood", "base"):
            found = diagnose_states(
                states[suite.split],
                suite.clusters,
                peak=reference,
                patient="sft_end",
                healed="rl_end",
            )
            parts.append(found.assign(split=suite.split))
    columns = ["split", "fold", *COLUMNS]
    table = pd.concat(parts).assign(fold=FOLD)[columns] if parts else pd.DataFrame(columns=columns)
    with atomic_write(out) as part:
        table.to_parquet(part, index=False)


def suites(task: str, style: str, problems: Path, limit: int) -> list[Suite]:
    """The problems of the test fold whose names' hashes come first, `limit` of each split.

    By hash and not in their order, since problems of one cluster stand side by side. A split
    with fewer than `FEWEST` clusters is left out, with a warning.
    """
    texts, words = tasks.load(task).prompts, tasks.defaults(task).wording.clusters
    known = [problem for problem in read_problems(task, problems) if problem.fold == FOLD]
    known.sort(key=lambda problem: sha256(problem.name.encode()).digest())
    found = []
    for split in sorted({problem.split for problem in known}):
        some = [problem for problem in known if problem.split == split][:limit]
        suite = Suite(
            split,
            tuple(texts.prompt(problem, style) for problem in some),
            tuple(texts.response(problem, style) for problem in some),
            tuple(problem.cluster for problem in some),
        )
        clusters = len(set(suite.clusters))
        if clusters >= FEWEST:
            found.append(suite)
        else:
            logging.warning(
                f"suite {split} {FOLD}: {len(some)} prompts of {clusters} {words}, expected at "
                f"least {FEWEST}, so it is left out; raise diagnostics.prompts or its limit"
            )
    return found


def _divergence(pair: str, values: Floats, clusters: Sequence[str]) -> pd.DataFrame:
    found = clustered_mean(values, pd.Series(clusters))
    row = (pair, "forward_kl", found.mean, found.low, found.high, found.n, nan)
    return pd.DataFrame([row], columns=list(COLUMNS))
