# SPDX-License-Identifier: MIT
"""The interface of a task: one protocol per part, and `Task`, which combines them.

A part is a module of the task's package. mypy compares the modules with these protocols in the
`__init__` of each package, so a missing part or a wrong signature is a type error. This module is
imported under TYPE_CHECKING only: it is in no code digest, and an edit here reruns nothing.

Rules of the workflow name the parts that they use. So an edit of a reward reruns RL and no SFT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, Self, TypeVar

import pandas as pd

from derotate.tasks.chance import Chance
from derotate.tasks.options import Messages
from derotate.tasks.samples import Sample
from derotate.tasks.task_defaults import Defaults


class Problem(Protocol):
    """One problem: a row of `problems.csv`."""

    @property
    def name(self) -> str:
        """Unique within a study."""

    @property
    def split(self) -> str:
        """One of the task's splits."""

    @property
    def fold(self) -> str:
        """One of the task's folds."""

    @property
    def cluster(self) -> str:
        """The unit of hold-out and of error bars."""

    def to_row(self) -> Mapping[str, str | int]:
        """The problem as a flat row for CSV."""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> Self:
        """The problem of a row of `to_row`."""


class Verdict(Protocol):
    """The grade of one response."""

    @property
    def kind(self) -> StrEnum:
        """What is right or wrong with it, a member of the task's `ErrorKind`."""

    @property
    def correct(self) -> bool:
        """Whether it counts as correct."""


P = TypeVar("P", bound=Problem)
P_co = TypeVar("P_co", bound=Problem, covariant=True)
P_contra = TypeVar("P_contra", bound=Problem, contravariant=True)
V = TypeVar("V", bound=Verdict)
V_co = TypeVar("V_co", bound=Verdict, covariant=True)
V_contra = TypeVar("V_contra", bound=Verdict, contravariant=True)


class Problems(Protocol[P]):
    """`problems.py`: problems with their splits and folds."""

    @property
    def VERSION(self) -> int:
        """Raised when the same arguments of `generate` give other problems."""

    @property
    def SPLITS(self) -> Sequence[str]:
        """ID and OOD first, then the controls."""

    @property
    def FOLDS(self) -> Sequence[str]:
        """Train, rl, trace, selection, test."""

    @property
    def Problem(self) -> type[P]:
        """The class of this task's problems."""

    def generate(self, split: str, orders: int, seed: int) -> list[P]:
        """Every class of a split in `orders` presentations."""


class Prompts(Protocol[P_contra]):
    """`prompts.py`: what a model reads, and a perfect answer."""

    @property
    def VERSION(self) -> int:
        """Raised when the same problem gives another prompt."""

    def prompt(self, problem: P_contra, style: str) -> str | Messages:
        """A text (compact), or chat messages (natural)."""

    def response(self, problem: P_contra, style: str) -> str:
        """The reference answer."""


class Answers(Protocol[P_contra, V_co]):
    """`answers.py`: reads and grades responses."""

    @property
    def VERSION(self) -> int:
        """Raised when the same response gets another verdict."""

    @property
    def ErrorKind(self) -> type[StrEnum]:
        """`CORRECT` and the kinds of errors, in the order in which they are checked."""

    def read(self, response: str, style: str = "compact") -> object:
        """The fields of a response."""

    def grade(self, problem: P_contra, response: str, style: str = "compact") -> V_co:
        """The verdict on a response."""


class Rewards(Protocol[P_contra]):
    """`rewards.py`: the reward of RL."""

    @property
    def VERSION(self) -> int:
        """Raised when the same response gets another reward."""

    @property
    def REWARDS(self) -> Mapping[str, float]:
        """Reward per event; `correct` is the largest."""

    def reward(self, problem: P_contra, response: str, style: str = "compact") -> float:
        """The reward of one response."""


class Feedback(Protocol[P_contra, V_contra]):
    """`feedback.py`: the verifier's message between two attempts."""

    def feedback(self, problem: P_contra, verdict: V_contra, style: str = "compact") -> str:
        """The message after a failed attempt."""


class Streams(Protocol[P_co]):
    """`streams.py`: endless training problems, a pure function of the seed."""

    def id_stream(self, fold: str, seed: int) -> Iterator[P_co]:
        """ID problems of a fold."""

    def ood_stream(self, fold: str, seed: int) -> Iterator[P_co]:
        """OOD problems of a fold."""

    def oracle_stream(self, seed: int) -> Iterator[P_co]:
        """ID problems of the fold `train` and OOD problems of `trace`, alternating."""


class Pretraining(Protocol):
    """`pretraining.py`: the texts that the tiny base is trained on."""

    @property
    def WORDS(self) -> Sequence[str]:
        """The vocabulary of the compact style, in the order of the token ids."""

    def samples(
        self, shares: Sequence[tuple[str, float]], seed: int, count: int
    ) -> Iterator[Sample]:
        """`count` samples of the mixture."""


class ByHand(Protocol[P_co]):
    """`by_hand.py`: a problem as typed on the command line."""

    @property
    def FORM(self) -> str:
        """The form of the text, for help and error messages."""

    def problem(self, text: str) -> P_co:
        """The problem of a text; ValueError for another form."""


class HasDefaults(Protocol):
    """`defaults.py`: what a study of the task has by default."""

    @property
    def DEFAULTS(self) -> Defaults:
        """The defaults and the words for captions."""


class GuessingLevels(Protocol[P_contra]):
    """`chance.py`: accuracy without solving. For tasks with `Defaults.guessable`."""

    def chance(self, problems: Sequence[P_contra]) -> Chance:
        """The chance level of problems."""

    def shortcuts(self, problems: Sequence[P_contra]) -> Mapping[str, float]:
        """Accuracy, 0 to 1, of heuristics that read a part of the problem."""


class DiverseStream(Protocol[P_co]):
    """`diverse.py`: training problems under varied rules. For `Defaults.varied_prompts`."""

    def diverse_stream(self, seed: int) -> Iterator[P_co]:
        """The problems of `id_stream("train", seed)`, each under a rule drawn anew."""


class EpisodeSuccess(Protocol):
    """`success.py`: success of whole episodes. For tasks with `Defaults.episodes`."""

    def route_success(self, rows: pd.DataFrame) -> pd.DataFrame:
        """One row per episode, from the rows of an evaluation."""


@dataclass(frozen=True)
class Task(Generic[P, V]):
    """The parts of a task; P is the class of its problems, V that of its verdicts."""

    problems: Problems[P]
    prompts: Prompts[P]
    answers: Answers[P, V]
    rewards: Rewards[P]
    feedback: Feedback[P, V]
    streams: Streams[P]
    pretraining: Pretraining
    by_hand: ByHand[P]
    defaults: HasDefaults
    chance: GuessingLevels[P] | None = None
    diverse: DiverseStream[P] | None = None
    success: EpisodeSuccess | None = None
