# SPDX-License-Identifier: MIT
"""The defaults of a study of this task, and the task's words for captions."""

from typing import Final

from derotate.tasks.task_defaults import Defaults, Wording

# Results of other mixtures are in docs/lab-notes.md.
DEFAULTS: Final = Defaults(
    splits={
        "id": "Compass",
        "ood": "Sides, at turns",
        "id_turns": "Compass, at turns",
        "ood_straight": "Sides, no turn",
    },
    mixture={
        "tracking": (
            0.789,
            "which leg, whether its end is reached, which headings: no rule and no action",
        ),
        "sides": (0.2, "the side to turn to between two headings, without a route"),
        "headings": (0.01, "the heading to turn to between two headings, without a route"),
        "whole_absolute": (
            0.0005,
            "trace of the answer format: whole problems under the ID rule",
        ),
        "whole_relative": (0.0005, "the same under the OOD rule"),
    },
    # Route success (`success`) needs complete routes: no limit on the splits whose test steps
    # make them up.
    suites=(
        {"split": "id", "fold": "train", "limit": 400},
        {"split": "id", "fold": "rl", "limit": 200},
        {"split": "id", "fold": "selection", "limit": 200},
        {"split": "id", "fold": "test"},
        {"split": "ood", "fold": "selection"},
        {"split": "ood", "fold": "test"},
        {"split": "id_turns", "fold": "test", "limit": 250},
        {"split": "ood_straight", "fold": "test"},
    ),
    max_new_tokens=24,  # a correct response has at most 15
    natural_max_new_tokens=256,
    length=72,
    vocabulary=61,
    problems={
        "id": {"train": 3005, "rl": 1208, "trace": 305, "selection": 598, "test": 889},
        "ood": {"train": 1712, "rl": 684, "trace": 170, "selection": 344, "test": 518},
        "id_turns": {"train": 1712, "rl": 684, "trace": 170, "selection": 344, "test": 518},
        "ood_straight": {"train": 1293, "rl": 524, "trace": 135, "selection": 254, "test": 371},
    },
    guessable=True,
    episodes=True,
    wording=Wording(
        id_skill="directions through streets with turns named by the compass",
        ood_skill="to name them by the side, left or right, as the prompt says",
        cluster="network",
        clusters="networks",
        deals="routes per network",
        presented="walked",
        dependence="all steps of all routes through the same streets succeed or fail together",
        id_rule="a turn named by the compass where the prompt asks for the side",
        finding="The finding is about fine-tuning: the base can follow a list of directions and "
        "tell the side between two headings from pretraining, and has seen whole problems under "
        "either rule only in a trace. Only the oracle arm, where there is one, trains on the rule "
        "of the `ood` split, with problems of the fold `trace`.",
    ),
)
