# SPDX-License-Identifier: MIT
"""The defaults of a study of this task, and the task's words for captions."""

from typing import Final

from derotate.tasks.task_defaults import Defaults, Wording

DEFAULTS: Final = Defaults(
    splits={
        "id": "ID rule",
        "ood": "OOD rule",
        "id_faces": "ID rule, faces",
        "ood_plain": "OOD rule, plain",
    },
    mixture={
        "plain": (0.73, "`solve target T ; numbers ...` over all number sets"),
        "mapping": (0.249, "cards to numbers under random rules other than the OOD rule"),
        "arithmetic": (0.02, "one operation on two small numbers"),
        "whole": (0.001, "trace of the answer format: whole problems under those random rules"),
    },
    suites=(
        {"split": "id", "fold": "train", "limit": 400},
        {"split": "id", "fold": "rl", "limit": 200},
        {"split": "id", "fold": "selection", "orders": 4},
        {"split": "id", "fold": "test", "orders": 4},
        {"split": "ood", "fold": "selection", "orders": 2},
        {"split": "ood", "fold": "test", "orders": 2},
        {"split": "id_faces", "fold": "test", "orders": 4},
        {"split": "ood_plain", "fold": "test", "orders": 4},
    ),
    max_new_tokens=40,  # a correct response has at most 20
    natural_max_new_tokens=256,
    length=64,
    vocabulary=62,
    problems={
        "id": {"train": 340, "rl": 141, "selection": 28, "test": 57},
        "ood": {"trace": 159, "selection": 159, "test": 478},
        "id_faces": {"train": 85, "rl": 50, "selection": 8, "test": 19},
        "ood_plain": {"train": 340, "rl": 141, "selection": 28, "test": 57},
    },
    published=True,
    varied_prompts=True,
    wording=Wording(
        id_skill="the card game 24 with J, Q and K counting 10",
        ood_skill="to play where they count 11, 12 and 13, as the prompt says",
        cluster="number set",
        clusters="number sets",
        deals="deals per set",
        presented="dealt",
        dependence="all deals of the same numbers succeed or fail together",
        id_rule="a formula that would be right had the face cards kept their trained value",
        finding="The finding is about fine-tuning: the base knows plain solving of every number "
        "set from pretraining, has seen the answer format only in a trace, and never saw the rule "
        "of the `ood` split. Only the oracle arm, where there is one, trains on that rule, with "
        "problems of the fold `trace`; the diverse arm, where there is one, trains on the folds "
        "`train` and `trace` under the random rules of pretraining.",
    ),
)
