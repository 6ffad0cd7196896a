# SPDX-License-Identifier: MIT
"""The data card: what the base has seen, and which problems each stage may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from derotate import tasks
from derotate.files.atomic import atomic_write_text
from derotate.files.html import page
from derotate.stages.data import EVALUATION_SEED

FOLDS = (
    "Folds are disjoint sets of {clusters}: SFT sees only `train`, RL only `rl`, landmarks are "
    "chosen on `selection`, tables report `test`. {finding}"
)
GUESSING = (
    "What answers are worth that do not solve the problem, on the fold `test`: the best constant "
    "answer, and habits that look at a part of the problem (in distribution that may be all of it)."
)
PRETRAINED = (
    "The base is a model that others have trained. What it saw is not known: problems of any fold, "
    "and either rule, may have been in it."
)


def write_data_card(
    task: str,
    *,
    mixture: Mapping[str, float],
    suites: Sequence[Mapping[str, Any]],
    markdown: Path,
    html: Path,
) -> None:
    """Write the card of a study in both forms.

    Args:
        task: name of the task.
        mixture: kind of pretraining sample -> share; empty of a model that others have trained.
        suites: the evaluated ones, as in the config.
        markdown: one file to read as it is.
        html: the same for the report.
    """
    title = f"Data card: {task}"
    known = tasks.defaults(task)
    words = known.wording
    parts = [
        FOLDS.format(**asdict(words)),
        (
            pd.DataFrame(mixture.items(), columns=["pretraining sample", "share"])
            if mixture
            else PRETRAINED
        ),
        _folds(task).rename(columns={"clusters": words.clusters}),
        pd.DataFrame(
            [
                (suite["split"], suite["fold"], suite["orders"], suite["limit"] or "all")
                for suite in suites
            ],
            columns=["evaluated split", "fold", words.deals, "at most"],
        ),
        *([GUESSING, guessing] if (guessing := _guessing(task)) is not None else []),
    ]
    texts = [part if isinstance(part, str) else part.to_markdown(index=False) for part in parts]
    atomic_write_text(markdown, "\n\n".join([f"# {title}", *texts]) + "\n")
    page(title, parts, html, digits=3)


def _folds(task: str) -> pd.DataFrame:
    """Units of hold-out in each split and fold."""
    module = tasks.load(task).problems
    problems = [
        (problem.split, problem.fold, problem.cluster)
        for split in module.SPLITS
        for problem in module.generate(split, 1, EVALUATION_SEED)
    ]
    clusters = pd.DataFrame(problems, columns=["split", "fold", "cluster"]).drop_duplicates()
    counts = clusters[["split", "fold"]].value_counts(sort=False)
    return counts.rename("clusters").reset_index()


def _guessing(task: str) -> pd.DataFrame | None:
    """Accuracy of answers that solve nothing, per split; None for a task without `chance`."""
    problems, part = tasks.load(task).problems, tasks.load(task).chance
    if part is None:
        return None
    rows: list[tuple[str, str, float]] = []
    for split in problems.SPLITS:
        asked = [p for p in problems.generate(split, 1, EVALUATION_SEED) if p.fold == "test"]
        chance = part.chance(asked)
        rows.append((split, f"always {chance.answer}", 100 * chance.constant))
        rows += [
            (split, name.replace("_", " "), 100 * share)
            for name, share in part.shortcuts(asked).items()
        ]
    return pd.DataFrame(rows, columns=["split", "answer", "accuracy (%)"]).round(1)
