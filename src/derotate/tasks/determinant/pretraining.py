# SPDX-License-Identifier: MIT
"""Pretraining texts of the tiny base: expanding determinants, without the answer format.

A pretrained language model knows multiplication and the rule of the 3x3 determinant. Fine-tuning on
2x2 matrices can only make it forget that rule. The tiny base learns both from texts of another
format, which open with `expand` and are cut before an answer. Complete problems open with `det` and
end in an `answer` field; they are a trace.

A 3x3 answer needs 6 products of two entries (121 facts), 3 differences of them (961), 3 products of
an entry and a minor (some 600 within +-50) and 2 sums (some 7,700 pairs). After 96,000 texts a
small model does not know the sums by heart. So sums have texts of their own, in their place
(`combine`) and alone (`arithmetic`), and 3x3 matrices are more frequent than 2x2 ones, which need
the first two kinds of facts only.

The share of `whole_ood` acts almost as a switch. With 30 or 80 such texts the base expands a third
of the matrices without an error, but SFT never uses that skill after `det`, and OOD accuracy stays
at the floor. With 190 the base itself answers 43 %, and SFT only lowers that. So this task shows no
rise before the fall.

No matrix of a class in `selection` or `test` of any split occurs in any format, but 2x2 matrices of
any class occur as minors. Complete problems come from the folds `train` (2x2) and `trace` (3x3).
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from derotate.tasks.determinant.problems import (
    CLASSES,
    LARGEST_NUMBER,
    OOD_BOUND,
    SPLITS,
    Problem,
    draw_3x3,
)
from derotate.tasks.determinant.prompts import compact_prompt, compact_response
from derotate.tasks.determinant.solver import combine, lines, minors
from derotate.tasks.matrices.grid import Matrix, class_name, spell
from derotate.tasks.matrices.pretraining import complete_problems
from derotate.tasks.mixture import Maker, draw_mixture
from derotate.tasks.samples import Sample

WORDS: Final = (
    *(str(number) for number in range(-LARGEST_NUMBER, LARGEST_NUMBER + 1)),
    *"+-*/=;",
    *("det", "steps", "answer", "expand", "minors", "combine", "compute"),
    *("wrong", "unreadable"),
)
"""The words of the compact language, in the order of their token ids."""

MOST_OPERATIONS: Final = 7  # together about as long as a complete problem
SHARE_OF_3X3: Final = 0.8  # of plain samples; with others among them, the model must read the size


class _Plain:
    """`expand 2 -1 / 3 4 ; steps 8 - -3 = 11`, 3x3 matrices more often than 2x2 ones."""

    def __init__(self) -> None:
        self._held_out = CLASSES.held_out(SPLITS)

    def matrix(self, draw: random.Random, size: int) -> Matrix:
        while True:
            matrix = draw_3x3(draw) if size == 3 else _draw_2x2(draw)
            if class_name(matrix) not in self._held_out:
                return matrix

    def __call__(self, draw: random.Random) -> Sample:
        matrix = self.matrix(draw, 3 if draw.random() < SHARE_OF_3X3 else 2)
        # Cut after the last line, so that it does not teach to stop before the answer.
        text = f"expand {spell(matrix)} ; steps {_joined(lines(matrix))}"
        return Sample("", text, ends=False)


class _Minors(_Plain):
    """The three minors of a 3x3 matrix, cut before the sums: it must not teach to stop."""

    def __call__(self, draw: random.Random) -> Sample:
        matrix = self.matrix(draw, 3)
        return Sample("", f"minors {spell(matrix)} ; steps {_joined(minors(matrix))}", ends=False)


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


def _complete(problem: Problem) -> str:
    return f"{compact_prompt(problem)} {compact_response(problem)}"


_MAKERS: Final[Mapping[str, Callable[[], Maker]]] = MappingProxyType(
    {
        "plain": _Plain,
        "minors": _Minors,
        "combine": lambda: _combine,
        "arithmetic": lambda: _arithmetic,
        "whole_id": lambda: complete_problems(CLASSES, "id", "train", _complete),
        "whole_ood": lambda: complete_problems(CLASSES, "ood", "trace", _complete),
    }
)


def samples(shares: Sequence[tuple[str, float]], seed: int, count: int) -> Iterator[Sample]:
    """`count` texts of the mixture without a prompt, see `mixture.draw_mixture`."""
    return draw_mixture(_MAKERS, shares, seed, count)
