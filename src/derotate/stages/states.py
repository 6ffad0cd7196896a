# SPDX-License-Identifier: MIT
"""Hidden states and next-token distributions of a run's landmarks: does RL recover the peak's?

The distance of RL to the peak is compared with its distance to the base, because any step back
reduces both. The forward KL to the base on ID prompts is the predictor of forgetting of arXiv
2509.04259.
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
"""The split that SFT trains; the divergence from the base is measured on its prompts."""
FEWEST = 3
"""Fewest clusters (number sets, networks) of a suite: the jackknife leaves out each in turn."""


@dataclass(frozen=True)
class Suite:
    """Prompts of a split, with their reference answers and clusters."""

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
    """Write `diagnose_states` for the peak and for the base, and the divergences from the base.

    States are those of the last position of a prompt, which predicts the answer's first token.

    Args:
        task: name of the task.
        style: of its prompts.
        landmarks: checkpoint directory of each of `LANDMARKS`; two may be the same.
        problems: CSV of the evaluated problems.
        prompts: most prompts per suite.
        batch_size: prompts per batch.
        out: Parquet with split, fold and the columns of `recovery.COLUMNS`; the metric `forward_kl`
            of a pair base:X is KL(base || X) in nats per token.
    """
    compared = suites(task, style, problems, prompts)
    base, tokenizer = checkpoints.load(landmarks["base"], device=fastest())
    states: dict[str, dict[str, States]] = {suite.split: {} for suite in compared}
    parts = []
    # The base stays in memory, because divergences need both models.
    for name in LANDMARKS:
        model = base if name == "base" else checkpoints.load(landmarks[name], device=fastest())[0]
        for suite in compared:
            states[suite.split][name] = collect_states(model, tokenizer, suite.prompts, batch_size)
            if suite.split == LEARNED and name != "base":
                values = forward_divergence(
                    base, model, tokenizer, suite.prompts, suite.answers, batch_size
                )
                row = _divergence(f"base:{name}", values, suite.clusters)
                parts.append(row.assign(split=suite.split))
    for suite in compared:
        for reference in ("max_ood", "base"):
            rows = diagnose_states(
                states[suite.split],
                suite.clusters,
                peak=reference,
                patient="sft_end",
                healed="rl_end",
            )
            parts.append(rows.assign(split=suite.split))
    columns = ["split", "fold", *COLUMNS]
    table = pd.concat(parts).assign(fold=FOLD)[columns] if parts else pd.DataFrame(columns=columns)
    with atomic_write(out) as part:
        table.to_parquet(part, index=False)


def suites(task: str, style: str, problems: Path, limit: int) -> list[Suite]:
    """`limit` problems of each split of the test fold, in the order of the hashes of their names.

    A split with fewer than `FEWEST` clusters is left out with a warning.
    """
    texts, clusters_name = tasks.load(task).prompts, tasks.defaults(task).wording.clusters
    test_fold = [problem for problem in read_problems(task, problems) if problem.fold == FOLD]
    # By hash and not in stored order, where problems of one cluster stand next to each other.
    test_fold.sort(key=lambda problem: sha256(problem.name.encode()).digest())
    large_enough = []
    for split in sorted({problem.split for problem in test_fold}):
        chosen = [problem for problem in test_fold if problem.split == split][:limit]
        suite = Suite(
            split,
            tuple(texts.prompt(problem, style) for problem in chosen),
            tuple(texts.response(problem, style) for problem in chosen),
            tuple(problem.cluster for problem in chosen),
        )
        clusters = len(set(suite.clusters))
        if clusters >= FEWEST:
            large_enough.append(suite)
        else:
            logging.warning(
                f"suite {split} {FOLD}: {len(chosen)} prompts of {clusters} {clusters_name}, "
                f"expected at least {FEWEST}, so it is left out; raise diagnostics.prompts or its "
                "limit"
            )
    return large_enough


def _divergence(pair: str, values: Floats, clusters: Sequence[str]) -> pd.DataFrame:
    estimate = clustered_mean(values, pd.Series(clusters))
    ends = (estimate.mean, estimate.low, estimate.high, estimate.n)
    return pd.DataFrame([(pair, "forward_kl", *ends, nan)], columns=list(COLUMNS))
