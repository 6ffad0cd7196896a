# SPDX-License-Identifier: MIT
"""What a study of this task has where its config says nothing, and what the task calls its things.

Read each time Snakemake plans, so it imports nothing of the package.
"""

from types import MappingProxyType
from typing import Final

SPLITS: Final = MappingProxyType(
    {
        "id": "2x2, entries to 4",
        "ood": "3x3, entries to 5",
        "id_wide": "2x2, an entry of 5",
        "ood_narrow": "3x3, entries to 4",
    }
)
"""Split -> its name in figures; ID and OOD first, then the controls."""

MIXTURE: Final = MappingProxyType(
    {
        "plain": (
            0.75,
            "`expand 2 -1 / 3 4 ; steps` to the last line, without an answer field",
        ),
        "minors": (0.0, "the minors of a 3x3 matrix alone, cut before they are added"),
        "combine": (0.15, "a first row and three minors, added up"),
        "arithmetic": (0.097, "up to seven operations on two numbers each"),
        "whole_id": (0.001, "trace of the answer format: 2x2 problems of the fold `train`"),
        "whole_ood": (0.002, "trace of the answer format: 3x3 problems of the fold `trace`"),
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
    {"split": "ood", "fold": "test", "limit": 600},
    {"split": "id_wide", "fold": "test", "limit": 200},
    {"split": "ood_narrow", "fold": "test", "limit": 200},
)
"""The problems of an evaluation."""

MAX_NEW_TOKENS: Final = 44
"""Length limit of a response; a right one has at most 33."""
NATURAL_MAX_NEW_TOKENS: Final = 64
"""The same in the natural style: what the papers evaluate with."""
LENGTH: Final = 64
"""Words of a compact prompt and its response, at most; jobs ask for memory by it."""
VOCABULARY: Final = 120
"""Tokens of the tiny model: the words of the compact language and the four special ones."""
PROBLEMS: Final = MappingProxyType(
    {
        "id": {"train": 621, "rl": 259, "selection": 52, "test": 103},
        "ood": {"trace": 400, "selection": 400, "test": 1200},
        "id_wide": {"trace": 235, "selection": 235, "test": 706},
        "ood_narrow": {"trace": 117, "selection": 121, "test": 329},
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
        "learned": "determinants of 2x2 matrices",
        "asked": "for those of 3x3 matrices",
        "cluster": "matrix class",
        "clusters": "matrix classes",
        "deals": "showings a class",
        "dealt": "shown",
        "together": "all matrices that differ by the order of rows and columns succeed or fail "
        "together",
        "id_rule": "a 3x3 matrix treated as a 2x2 one",
        "finding": "The finding is about fine-tuning: the base can expand 2x2 and 3x3 matrices in "
        "another form from pretraining, and has seen the answer format only in a trace. Only the "
        "oracle arm, where there is one, trains on 3x3 matrices, with problems of the fold "
        "`trace`.",
    }
)
"""Words for captions and cards: what SFT teaches and what it is asked besides, the unit of hold-out
and of error bars, how it is shown, and what the base knows."""
