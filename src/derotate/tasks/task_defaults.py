# SPDX-License-Identifier: MIT
"""Types for the defaults of a task: study settings, and words for captions.

Imported each time Snakemake plans, so nothing else of the package is imported here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wording:
    """Words for captions and cards.

    Attributes:
        id_skill: what SFT teaches, e.g. "the rank of 4x5 matrices".
        ood_skill: the OOD task, e.g. "for that of 5x4 matrices".
        cluster: the unit of hold-out and of error bars.
        clusters: its plural.
        deals: column title of the number of presentations of one cluster.
        presented: how a cluster is presented, as in "every matrix class, shown 4 times".
        dependence: why problems of one cluster are not independent.
        id_rule: what the error kind `id_rule_applied` means.
        finding: what the base knows, and which arm sees OOD problems.
    """

    id_skill: str
    ood_skill: str
    cluster: str
    clusters: str
    deals: str
    presented: str
    dependence: str
    id_rule: str
    finding: str


@dataclass(frozen=True)
class Defaults:
    """Defaults of a study and facts about a task.

    Attributes:
        splits: split -> its name in figures; ID and OOD first, then the controls.
        mixture: kind of pretraining sample -> (share, description).
        suites: the evaluated problems, as `evaluation.suites` of a config.
        max_new_tokens: maximum length of a compact response, in tokens.
        natural_max_new_tokens: the same for natural responses; the papers' value.
        length: upper bound on words of a compact prompt and its response; sets memory requests.
        vocabulary: tokens of the tiny model: the compact words and 4 special tokens.
        problems: split -> fold -> number of problems with one order; sets time requests.
        wording: words for captions and cards.
        published: whether the papers' numbers for this task are drawn beside ours.
        guessable: whether the task has the part `chance`.
        episodes: whether problems are steps of longer episodes: the task has the part `success`.
        varied_prompts: whether the rule in SFT prompts can vary: the task has the part `diverse`.
    """

    splits: Mapping[str, str]
    mixture: Mapping[str, tuple[float, str]]
    suites: Sequence[Mapping[str, Any]]
    max_new_tokens: int
    natural_max_new_tokens: int
    length: int
    vocabulary: int
    problems: Mapping[str, Mapping[str, int]]
    wording: Wording
    published: bool = False
    guessable: bool = False
    episodes: bool = False
    varied_prompts: bool = False
