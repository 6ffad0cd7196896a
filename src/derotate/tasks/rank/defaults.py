# SPDX-License-Identifier: MIT
"""What a study of this task has where its config says nothing, and what the task calls its things.

Read each time Snakemake plans, so it imports nothing of the package.
"""

from types import MappingProxyType
from typing import Final

SPLITS: Final = MappingProxyType({"id": "4x5 matrices", "ood": "5x4 matrices"})
"""Split -> its name in figures; there are no controls."""

MIXTURE: Final = MappingProxyType(
    {
        "plain": (
            0.6,
            "`lines 1 0 / 0 1 / 1 1 ; steps` and the walk, without an answer field",
        ),
        "last": (0.298, "the judgement of the last row alone"),
        "combine": (0.1, "plus or minus one row, or a sum of two, entry by entry"),
        "whole_id": (0.001, "trace of the answer format: 4x5 problems of the fold `train`"),
        "whole_ood": (0.001, "trace of the answer format: 5x4 problems of the fold `trace`"),
    }
)
"""Kind of pretraining sample -> its share, and what it is. What other shares gave is in
docs/lab-notes.md."""

SUITES: Final = (
    {"split": "id", "fold": "train", "limit": 400},
    {"split": "id", "fold": "rl", "limit": 200},
    {"split": "id", "fold": "selection", "orders": 4},
    {"split": "id", "fold": "test", "orders": 4},
    {"split": "ood", "fold": "selection", "limit": 300},
    {"split": "ood", "fold": "test", "limit": 700},
)
"""The problems of an evaluation."""

MAX_NEW_TOKENS: Final = 32
"""Length limit of a response; a right one has at most 22."""
NATURAL_MAX_NEW_TOKENS: Final = 128
"""The same in the natural style: what the papers evaluate with."""
LENGTH: Final = 64
"""Words of a compact prompt and its response, at most; jobs ask for memory by it."""
VOCABULARY: Final = 45
"""Tokens of the tiny model: the words of the compact language and the four special ones."""
PROBLEMS: Final = MappingProxyType(
    {
        "id": {"train": 720, "rl": 300, "selection": 60, "test": 120},
        "ood": {"trace": 400, "selection": 400, "test": 1200},
    }
)
"""Split -> fold -> how many problems it has, each shown once; jobs ask for time by it."""
PUBLISHED: Final = False
"""Whether the numbers that the papers print for this task are drawn beside ours."""
GUESSABLE: Final = True
"""Whether the part `chance` says what answers are worth that solve nothing."""
EPISODES: Final = False
"""Whether problems are steps of something longer that succeeds as a whole: the part `success`."""
VARIED_PROMPTS: Final = False
"""Whether the rule in the prompts of SFT can vary: the part `diverse`, which its arm trains on."""

WORDING: Final = MappingProxyType(
    {
        "learned": "the rank of 4x5 matrices",
        "asked": "for that of 5x4 matrices",
        "cluster": "matrix class",
        "clusters": "matrix classes",
        "deals": "showings a class",
        "dealt": "shown",
        "together": "all matrices that differ by the order of rows and columns succeed or fail "
        "together",
        "id_rule": "a 5x4 matrix treated as a 4x5 one",
        "finding": "The finding is about fine-tuning: the base can walk through the rows of "
        "matrices of several shapes in another form from pretraining, and has seen the answer "
        "format only in a trace. Only the oracle arm, where there is one, trains on 5x4 matrices, "
        "with problems of the fold `trace`.",
    }
)
"""Words for captions and cards: what SFT teaches and what it is asked besides, the unit of hold-out
and of error bars, how it is shown, and what the base knows."""
