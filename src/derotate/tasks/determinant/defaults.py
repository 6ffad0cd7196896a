# SPDX-License-Identifier: MIT
"""The defaults of a study of this task, and the task's words for captions."""

from typing import Final

from derotate.tasks.task_defaults import Defaults, Wording

# Results of other mixtures are in docs/lab-notes.md.
DEFAULTS: Final = Defaults(
    splits={
        "id": "2x2, entries to 4",
        "ood": "3x3, entries to 5",
        "id_wide": "2x2, an entry of 5",
        "ood_narrow": "3x3, entries to 4",
    },
    mixture={
        "plain": (
            0.75,
            "`expand 2 -1 / 3 4 ; steps` to the last line, without an answer field",
        ),
        "minors": (0.0, "the minors of a 3x3 matrix alone, cut before they are added"),
        "combine": (0.15, "a first row and three minors, added up"),
        "arithmetic": (0.097, "up to seven operations on two numbers each"),
        "whole_id": (0.001, "trace of the answer format: 2x2 problems of the fold `train`"),
        "whole_ood": (0.002, "trace of the answer format: 3x3 problems of the fold `trace`"),
    },
    suites=(
        {"split": "id", "fold": "train", "limit": 400},
        {"split": "id", "fold": "rl", "limit": 200},
        {"split": "id", "fold": "selection", "orders": 4},
        {"split": "id", "fold": "test", "orders": 4},
        {"split": "ood", "fold": "selection", "limit": 300},
        {"split": "ood", "fold": "test", "limit": 600},
        {"split": "id_wide", "fold": "test", "limit": 200},
        {"split": "ood_narrow", "fold": "test", "limit": 200},
    ),
    max_new_tokens=44,  # a correct response has at most 33
    natural_max_new_tokens=64,
    length=64,
    vocabulary=120,
    problems={
        "id": {"train": 621, "rl": 259, "selection": 52, "test": 103},
        "ood": {"trace": 400, "selection": 400, "test": 1200},
        "id_wide": {"trace": 235, "selection": 235, "test": 706},
        "ood_narrow": {"trace": 117, "selection": 121, "test": 329},
    },
    guessable=True,
    wording=Wording(
        id_skill="determinants of 2x2 matrices",
        ood_skill="for those of 3x3 matrices",
        cluster="matrix class",
        clusters="matrix classes",
        deals="presentations per class",
        presented="shown",
        dependence="all matrices that differ by the order of rows and columns succeed or fail "
        "together",
        id_rule="a 3x3 matrix treated as a 2x2 one",
        finding="The finding is about fine-tuning: the base can expand 2x2 and 3x3 matrices in "
        "another form from pretraining, and has seen the answer format only in a trace. Only the "
        "oracle arm, where there is one, trains on 3x3 matrices, with problems of the fold "
        "`trace`.",
    ),
)
