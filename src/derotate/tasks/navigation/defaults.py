# SPDX-License-Identifier: MIT
"""What a study of this task has where its config says nothing, and what the task calls its things.

Read each time Snakemake plans, so it imports nothing of the package.
"""

from types import MappingProxyType
from typing import Final

SPLITS: Final = MappingProxyType(
    {
        "id": "Compass",
        "ood": "Sides, at turns",
        "id_turns": "Compass, at turns",
        "ood_straight": "Sides, no turn",
    }
)
"""Split -> its name in figures; ID and OOD first, then the controls."""

MIXTURE: Final = MappingProxyType(
    {
        "tracking": (
            0.789,
            "which leg, whether its end is reached, which headings: no rule and no action",
        ),
        "sides": (0.2, "the side to turn to between two headings, apart from any walk"),
        "headings": (0.01, "the heading to turn to between two headings, apart from any walk"),
        "whole_absolute": (
            0.0005,
            "trace of the answer format: whole problems under the ID rule",
        ),
        "whole_relative": (0.0005, "the same under the OOD rule"),
    }
)
"""Kind of pretraining sample -> its share, and what it is. What other shares gave is in
docs/lab-notes.md."""

# Route success (`success`) needs whole routes: no limit where a split's test steps make them up.
SUITES: Final = (
    {"split": "id", "fold": "train", "limit": 400},
    {"split": "id", "fold": "rl", "limit": 200},
    {"split": "id", "fold": "selection", "limit": 200},
    {"split": "id", "fold": "test"},
    {"split": "ood", "fold": "selection"},
    {"split": "ood", "fold": "test"},
    {"split": "id_turns", "fold": "test", "limit": 250},
    {"split": "ood_straight", "fold": "test"},
)
"""The problems of an evaluation."""

MAX_NEW_TOKENS: Final = 24
"""Length limit of a response; a right one has at most 15."""
NATURAL_MAX_NEW_TOKENS: Final = 256
"""The same in the natural style: what the papers evaluate with."""
LENGTH: Final = 72
"""Words of a compact prompt and its response, at most; jobs ask for memory by it."""
VOCABULARY: Final = 61
"""Tokens of the tiny model: the words of the compact language and the four special ones."""
PROBLEMS: Final = MappingProxyType(
    {
        "id": {"train": 3005, "rl": 1208, "trace": 305, "selection": 598, "test": 889},
        "ood": {"train": 1712, "rl": 684, "trace": 170, "selection": 344, "test": 518},
        "id_turns": {"train": 1712, "rl": 684, "trace": 170, "selection": 344, "test": 518},
        "ood_straight": {"train": 1293, "rl": 524, "trace": 135, "selection": 254, "test": 371},
    }
)
"""Split -> fold -> how many problems it has, each shown once; jobs ask for time by it."""
PUBLISHED: Final = False
"""Whether the numbers that the papers print for this task are drawn beside ours."""
GUESSABLE: Final = True
"""Whether the part `chance` says what answers are worth that solve nothing."""
EPISODES: Final = True
"""Whether problems are steps of something longer that succeeds as a whole: the part `success`."""
VARIED_PROMPTS: Final = False
"""Whether the rule in the prompts of SFT can vary: the part `diverse`, which its arm trains on."""

WORDING: Final = MappingProxyType(
    {
        "learned": "directions through streets with turns named by the compass",
        "asked": "to name them by the side, left or right, as the prompt says",
        "cluster": "network",
        "clusters": "networks",
        "deals": "routes a network",
        "dealt": "walked",
        "together": "all steps of all routes through the same streets succeed or fail together",
        "id_rule": "a turn named by the compass where the prompt asks for the side",
        "finding": "The finding is about fine-tuning: the base can follow a list of directions and "
        "tell the side between two headings from pretraining, and has seen whole problems under "
        "either rule only in a trace. Only the oracle arm, where there is one, trains on the rule "
        "of the `ood` split, with problems of the fold `trace`.",
    }
)
"""Words for captions and cards: what SFT teaches and what it is asked besides, the unit of hold-out
and of error bars, how it is shown, and what the base knows."""
