# SPDX-License-Identifier: MIT
"""The data card: the pretraining mixture, and the problems that each stage may see."""

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
from derotate.tasks.responses import RULE

FOLDS = (
    "Folds are disjoint sets of {clusters}: SFT trains only on `train`, RL only on `rl`, landmarks "
    "are selected on `selection`, tables report `test`. {finding}"
)
GRADING = "Grading: {rule} Unicode operators, digits and brackets count as their ASCII ones."
GUESSING = (
    "Accuracy without solving the problem, on the fold `test`: the best constant answer, and "
    "heuristics that read a part of the problem (in distribution that part may be all of it)."
)
PRETRAINED = (
    "The base is a pretrained model. Its training data are unknown: they may contain problems of "
    "any fold and under either rule."
)


def write_data_card(
    task: str,
    *,
    style: str,
    mixture: Mapping[str, float],
    suites: Sequence[Mapping[str, Any]],
    markdown: Path,
    html: Path,
) -> None:
    """Write the data card of a study as Markdown and HTML.

    Args:
        task: name of the task.
        style: of the prompts.
        mixture: kind of pretraining sample -> share; empty for a pretrained model.
        suites: the evaluated suites, as in the config.
        markdown: output file.
        html: output file for the report.
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
        GRADING.format(rule=RULE[style]),
        *([GUESSING, guessing] if (guessing := _guessing(task)) is not None else []),
    ]
    texts = [part if isinstance(part, str) else part.to_markdown(index=False) for part in parts]
    atomic_write_text(markdown, "\n\n".join([f"# {title}", *texts]) + "\n")
    page(title, parts, html, digits=3)


def _folds(task: str) -> pd.DataFrame:
    """Number of clusters in each split and fold."""
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
    """Accuracy without solving, per split; None for a task without the part `chance`."""
    problems, part = tasks.load(task).problems, tasks.load(task).chance
    if part is None:
        return None
    rows: list[tuple[str, str, float]] = []
    for split in problems.SPLITS:
        test = [p for p in problems.generate(split, 1, EVALUATION_SEED) if p.fold == "test"]
        chance = part.chance(test)
        rows.append((split, f"always {chance.answer}", 100 * chance.constant))
        rows += [
            (split, name.replace("_", " "), 100 * share)
            for name, share in part.shortcuts(test).items()
        ]
    return pd.DataFrame(rows, columns=["split", "answer", "accuracy (%)"]).round(1)
