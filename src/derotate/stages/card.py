# SPDX-License-Identifier: MIT
"""The data card: what the base has seen, and which problems each stage may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from derotate import tasks
from derotate.reporting.pages import page
from derotate.stages.data import EVALUATION_SEED, write_text

FINDING = (
    "Folds are disjoint sets of number sets: SFT sees only `train`, RL only `rl`, landmarks are "
    "chosen on `selection`, tables report `test`. The finding is about fine-tuning: the base knows "
    "plain solving of every number set from pretraining, has seen the answer format only in a "
    "trace, and never saw the rule of the `ood` split. Only the oracle arm, where there "
    "is one, trains on that rule, with problems of the fold `trace`."
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
        mixture: kind of pretraining sample -> share.
        suites: the evaluated ones, as in the config.
        markdown: one file to read as it is.
        html: the same for the report.
    """
    title = f"Data card: {task}"
    tables = [
        pd.DataFrame(mixture.items(), columns=["pretraining sample", "share"]),
        _folds(task),
        pd.DataFrame(
            [
                (suite["split"], suite["fold"], suite["orders"], suite["limit"] or "all")
                for suite in suites
            ],
            columns=["evaluated split", "fold", "deals a set", "at most"],
        ),
    ]
    texts = [table.to_markdown(index=False) for table in tables]
    write_text(markdown, "\n\n".join([f"# {title}", FINDING, *texts]) + "\n")
    page(title, [FINDING, *tables], html, digits=3)


def _folds(task: str) -> pd.DataFrame:
    """Number sets of each split and fold."""
    module = tasks.module(task, "problems")
    problems = [
        (problem.split, problem.fold)
        for split in module.SPLITS
        for problem in module.generate(split, 1, EVALUATION_SEED)
    ]
    counts = pd.DataFrame(problems, columns=["split", "fold"]).value_counts(sort=False)
    return counts.rename("number sets").reset_index()
