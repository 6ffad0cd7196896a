# SPDX-License-Identifier: MIT
"""The defaults of a study of this task, and the task's words for captions."""

from typing import Final

from derotate.tasks.task_defaults import Defaults, Wording

# Results of other mixtures are in docs/lab-notes.md. There are no control splits.
DEFAULTS: Final = Defaults(
    splits={"id": "4x5 matrices", "ood": "5x4 matrices"},
    mixture={
        "plain": (
            0.6,
            "`lines 1 0 / 0 1 / 1 1 ; steps` and the walk, without an answer field",
        ),
        "last": (0.298, "the judgement of the last row alone"),
        "combine": (0.1, "plus or minus one row, or a sum of two, entry by entry"),
        "whole_id": (0.001, "trace of the answer format: 4x5 problems of the fold `train`"),
        "whole_ood": (0.001, "trace of the answer format: 5x4 problems of the fold `trace`"),
    },
    suites=(
        {"split": "id", "fold": "train", "limit": 400},
        {"split": "id", "fold": "rl", "limit": 200},
        {"split": "id", "fold": "selection", "orders": 4},
        {"split": "id", "fold": "test", "orders": 4},
        {"split": "ood", "fold": "selection", "limit": 300},
        {"split": "ood", "fold": "test", "limit": 700},
    ),
    max_new_tokens=32,  # a correct response has at most 22
    natural_max_new_tokens=128,
    length=64,
    vocabulary=45,
    problems={
        "id": {"train": 720, "rl": 300, "selection": 60, "test": 120},
        "ood": {"trace": 400, "selection": 400, "test": 1200},
    },
    guessable=True,
    wording=Wording(
        id_skill="the rank of 4x5 matrices",
        ood_skill="for that of 5x4 matrices",
        cluster="matrix class",
        clusters="matrix classes",
        deals="presentations per class",
        presented="shown",
        dependence="all matrices that differ by the order of rows and columns succeed or fail "
        "together",
        id_rule="a 5x4 matrix treated as a 4x5 one",
        finding="The finding is about fine-tuning: the base can walk through the rows of "
        "matrices of several shapes in another form from pretraining, and has seen the answer "
        "format only in a trace. Only the oracle arm, where there is one, trains on 5x4 matrices, "
        "with problems of the fold `trace`.",
    ),
)
