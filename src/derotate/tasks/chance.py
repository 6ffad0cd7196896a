# SPDX-License-Identifier: MIT
"""What accuracy is worth without looking at the problem: the level that a model has to beat."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Answer = TypeVar("Answer", int, str)


@dataclass(frozen=True)
class Chance(Generic[Answer]):
    """Two ways to guess.

    Attributes:
        answer: the best constant answer; the smallest of equals.
        constant: its accuracy, 0 to 1.
        marginal: accuracy of answers drawn from the distribution of the right ones, 0 to 1.
        n: problems that it was computed on.
    """

    answer: Answer
    constant: float
    marginal: float
    n: int


def chance_level(answers: Iterable[Answer]) -> Chance[Answer]:
    """The chance level of a list of right answers.

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

    Told on the problems that it is chosen on, so a clue with many values flatters itself.

    Raises:
        ValueError: no answers, or not one clue for each.
    """
    if not answers:
        raise ValueError("no answers: expected at least one")
    counts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
    for answer, clue in zip(answers, clues, strict=True):
        counts[clue][answer] += 1
    return sum(max(found.values()) for found in counts.values()) / len(answers)
