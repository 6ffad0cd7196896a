# SPDX-License-Identifier: MIT
"""What the tiny base learns before any fine-tuning: to expand determinants, not to answer.

A pretrained language model knows multiplication and the rule of the 3x3 determinant; fine-tuning on
2x2 matrices can only lose the latter. The tiny base gets that start as texts of another form: it
expands matrices behind the word `expand`, cut before an answer, while whole problems open with
`det`, end in an `answer` field and occur as a trace.

A 3x3 answer takes 6 products of two entries (121 facts), 3 differences of those (961), 3 products
of an entry and a minor (some 600 within +-50) and 2 sums (some 7,700 pairs). The sums are what a
small model does not know by heart after 96,000 texts, so they get samples of their own, in their
place (`combine`) and bare (`arithmetic`), and 3x3 matrices outnumber 2x2 ones, which need the first
two kinds of facts only.

The share of `whole_ood` decides what can be seen, and nearly as a switch: with 30 or 80 such texts
the base expands a third of the matrices without an error, but SFT never comes to use that behind
`det`, and OOD accuracy stays at the floor; with 190 the base answers 43 % itself, and SFT can only
take it away. Here there is no rise before the fall.

No matrix of a class in `selection` or `test` of any split occurs, in whatever form; as minors, 2x2
matrices of any class do. Whole problems come from the folds `train` (2x2) and `trace` (3x3).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from derotate.tasks.determinant.problems import (
    LARGEST_NUMBER,
    OOD_BOUND,
    SPLITS,
    Problem,
    draw_3x3,
    in_fold,
    matrices,
)
from derotate.tasks.determinant.prompts import compact_prompt, compact_response
from derotate.tasks.determinant.solver import combine, lines, minors
from derotate.tasks.matrices.grid import Matrix, class_name, spell
from derotate.tasks.samples import Sample

WORDS: Final = (
    *(str(number) for number in range(-LARGEST_NUMBER, LARGEST_NUMBER + 1)),
    *"+-*/=;",
    *("det", "steps", "answer", "expand", "minors", "combine", "compute"),
    *("wrong", "unreadable"),
)
"""The words of the compact language, in the order of their token ids."""

MOST_OPERATIONS: Final = 7  # about as long together as a whole problem
SHARE_OF_3X3: Final = 0.8  # of plain samples; the rest keeps the size a thing to read


def samples(shares: Sequence[tuple[str, float]], seed: int, count: int) -> Iterator[Sample]:
    """`count` samples of the mixture, a pure function of the shares and the seed.

    Args:
        shares: pairs of a kind of `defaults.MIXTURE` and its share.
        seed: of the stream.
        count: number of samples.

    Returns:
        Texts without a prompt: the loss is on all of each, as in language modelling.

    Raises:
        ValueError: a kind that is none.
    """
    makers: dict[str, Callable[[random.Random], Sample]] = {
        "plain": _Plain(),
        "minors": _Minors(),
        "combine": _combine,
        "arithmetic": _arithmetic,
        "whole_id": _Whole("id", "train"),
        "whole_ood": _Whole("ood", "trace"),
    }
    for kind, _ in shares:
        if kind not in makers:
            raise ValueError(f"pretraining sample {kind!r}: expected one of {', '.join(makers)}")
    draw = random.Random(f"pretraining {seed}")
    kinds = [kind for kind, _ in shares]
    for kind in draw.choices(kinds, [share for _, share in shares], k=count):
        yield makers[kind](draw)


def _held_out() -> frozenset[str]:
    return frozenset(
        name for split in SPLITS for fold in ("selection", "test") for name in in_fold(split, fold)
    )


class _Plain:
    """`expand 2 -1 / 3 4 ; steps 8 - -3 = 11`, 3x3 matrices more often than 2x2 ones."""

    def __init__(self) -> None:
        self._held_out = _held_out()

    def matrix(self, draw: random.Random, size: int) -> Matrix:
        while True:
            matrix = draw_3x3(draw) if size == 3 else _draw_2x2(draw)
            if class_name(matrix) not in self._held_out:
                return matrix

    def __call__(self, draw: random.Random) -> Sample:
        matrix = self.matrix(draw, 3 if draw.random() < SHARE_OF_3X3 else 2)
        # Cut after the last line: it must not teach to stop before the answer.
        text = f"expand {spell(matrix)} ; steps {_joined(lines(matrix))}"
        return Sample("", text, ends=False)


class _Minors(_Plain):
    """The three minors of a 3x3 matrix, cut before the sums: it must not teach to stop."""

    def __call__(self, draw: random.Random) -> Sample:
        matrix = self.matrix(draw, 3)
        return Sample("", f"minors {spell(matrix)} ; steps {_joined(minors(matrix))}", ends=False)


class _Whole:
    """A whole problem of one split and fold."""

    def __init__(self, split: str, fold: str) -> None:
        self._split, self._fold = split, fold
        self._names = in_fold(split, fold)

    def __call__(self, draw: random.Random) -> Sample:
        (matrix,) = matrices(self._split, draw.choice(self._names), 1, draw)
        problem = Problem("", self._split, self._fold, matrix)
        return _text(f"{compact_prompt(problem)} {compact_response(problem)}")


def _draw_2x2(draw: random.Random) -> Matrix:
    a, b, c, d = (_entry(draw) for _ in range(4))
    return (a, b), (c, d)


def _combine(draw: random.Random) -> Sample:
    """A first row and the minors of a random matrix of the OOD kind, its other rows not shown."""
    matrix = draw_3x3(draw)
    top, parts = matrix[0], tuple(line.result for line in minors(matrix))
    return _text(
        f"combine {spell((top,))} ; {spell((parts,))} ; steps {_joined(combine(top, parts))}"
    )


def _arithmetic(draw: random.Random) -> Sample:
    """Up to `MOST_OPERATIONS` operations, e.g. `compute 3 + 4 = 7 ; 2 * -5 = -10`."""
    operations = [_operation(draw) for _ in range(draw.randint(1, MOST_OPERATIONS))]
    return Sample("", f"compute {_joined(operations)}", ends=False)


def _operation(draw: random.Random) -> str:
    """One operation whose result is a number that the language has; sums and differences mostly."""
    while True:
        operator = draw.choice("++--*")
        right = draw.randint(-LARGEST_NUMBER, LARGEST_NUMBER)
        if operator == "*":
            left = _entry(draw)
            result = left * right
        else:
            left = draw.randint(-LARGEST_NUMBER, LARGEST_NUMBER)
            result = left + right if operator == "+" else left - right
        if abs(result) <= LARGEST_NUMBER:
            return f"{left} {operator} {right} = {result}"


def _entry(draw: random.Random) -> int:
    return draw.randint(-OOD_BOUND, OOD_BOUND)


def _joined(parts: Sequence[object]) -> str:
    return " ; ".join(map(str, parts))


def _text(text: str) -> Sample:
    return Sample("", text)
