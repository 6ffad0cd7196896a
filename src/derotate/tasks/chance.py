# SPDX-License-Identifier: MIT
"""Chance levels: the accuracy of guessing, which a model has to exceed."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Answer = TypeVar("Answer", int, str)


@dataclass(frozen=True)
class Chance(Generic[Answer]):
    """Accuracy of two ways to guess.

    Attributes:
        answer: the best constant answer; the smallest one of a tie.
        constant: its accuracy, 0 to 1.
        marginal: accuracy of answers drawn from the distribution of correct answers, 0 to 1.
        n: number of problems.
    """

    answer: Answer
    constant: float
    marginal: float
    n: int


def chance_level(answers: Iterable[Answer]) -> Chance[Answer]:
    """The chance level of problems with these correct answers.

    Raises:
        ValueError: no answers.
    """
    counts = Counter(answers)
    total = counts.total()
    if not total:
        raise ValueError("no answers: expected at least one")
    answer = min(counts, key=lambda value: (-counts[value], value))
    return Chance(
        answer=answer,
        constant=counts[answer] / total,
        marginal=sum(count**2 for count in counts.values()) / total**2,
        n=total,
    )


def clue_level(answers: Sequence[int], clues: Sequence[Hashable]) -> float:
    """Accuracy, 0 to 1, of the best answer for each value of a clue about the problem.

    Computed on the problems that the best answers are fitted to, so it is biased upwards for a
    clue with many values.

    Raises:
        ValueError: no answers, or not one clue per answer.
    """
    if not answers:
        raise ValueError("no answers: expected at least one")
    counts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
    for answer, clue in zip(answers, clues, strict=True):
        counts[clue][answer] += 1
    return sum(max(of_clue.values()) for of_clue in counts.values()) / len(answers)
