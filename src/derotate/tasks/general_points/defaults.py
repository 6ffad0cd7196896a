# SPDX-License-Identifier: MIT
"""What a study of this task has where its config says nothing, and what the task calls its things.

Read each time Snakemake plans, so it imports nothing of the package.
"""

from types import MappingProxyType
from typing import Final

SPLITS: Final = MappingProxyType(
    {
        "id": "ID rule",
        "ood": "OOD rule",
        "id_faces": "ID rule, faces",
        "ood_plain": "OOD rule, plain",
    }
)
"""Split -> its name in figures; ID and OOD first, then the controls."""

MIXTURE: Final = MappingProxyType(
    {
        "plain": (0.73, "`solve target T ; numbers ...` over all number sets"),
        "mapping": (0.249, "cards to numbers under random rules other than the OOD rule"),
        "arithmetic": (0.02, "one operation on two small numbers"),
        "whole": (0.001, "trace of the answer format: whole problems under those random rules"),
    }
)
"""Kind of pretraining sample -> its share, and what it is."""

SUITES: Final = (
    {"split": "id", "fold": "train", "limit": 400},
    {"split": "id", "fold": "rl", "limit": 200},
    {"split": "id", "fold": "selection", "orders": 4},
    {"split": "id", "fold": "test", "orders": 4},
    {"split": "ood", "fold": "selection", "orders": 2},
    {"split": "ood", "fold": "test", "orders": 2},
    {"split": "id_faces", "fold": "test", "orders": 4},
    {"split": "ood_plain", "fold": "test", "orders": 4},
)
"""The problems of an evaluation."""

MAX_NEW_TOKENS: Final = 40
"""Length limit of a response; a right one has at most 20."""
NATURAL_MAX_NEW_TOKENS: Final = 256
"""The same in the natural style: what the papers evaluate with."""
LENGTH: Final = 64
"""Words of a compact prompt and its response, at most; jobs ask for memory by it."""
VOCABULARY: Final = 62
"""Tokens of the tiny model: the words of the compact language and the four special ones."""
PROBLEMS: Final = MappingProxyType(
    {
        "id": {"train": 340, "rl": 141, "selection": 28, "test": 57},
        "ood": {"trace": 159, "selection": 159, "test": 478},
        "id_faces": {"train": 85, "rl": 50, "selection": 8, "test": 19},
        "ood_plain": {"train": 340, "rl": 141, "selection": 28, "test": 57},
    }
)
"""Split -> fold -> how many problems it has, each shown once; jobs ask for time by it."""
PUBLISHED: Final = True
"""Whether the numbers that the papers print for this task are drawn beside ours."""
GUESSABLE: Final = False
"""Whether the part `chance` says what answers are worth that solve nothing; a formula has none."""
EPISODES: Final = False
"""Whether problems are steps of something longer that succeeds as a whole: the part `success`."""
VARIED_PROMPTS: Final = True
"""Whether the rule in the prompts of SFT can vary: the part `diverse`, which its arm trains on."""

WORDING: Final = MappingProxyType(
    {
        "learned": "the card game 24 with J, Q and K counting 10",
        "asked": "to play where they count 11, 12 and 13, as the prompt says",
        "cluster": "number set",
        "clusters": "number sets",
        "deals": "deals a set",
        "dealt": "dealt",
        "together": "all deals of the same numbers succeed or fail together",
        "id_rule": "a formula that would be right had the face cards kept their trained value",
        "finding": "The finding is about fine-tuning: the base knows plain solving of every number "
        "set from pretraining, has seen the answer format only in a trace, and never saw the rule "
        "of the `ood` split. Only the oracle arm, where there is one, trains on that rule, with "
        "problems of the fold `trace`; the diverse arm, where there is one, trains on the folds "
        "`train` and `trace` under the random rules of pretraining.",
    }
)
"""Words for captions and cards: what SFT teaches and what it is asked besides, the unit of hold-out
and of error bars, how it is shown, and what the base knows."""
