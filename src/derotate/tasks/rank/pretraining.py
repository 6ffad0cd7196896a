# SPDX-License-Identifier: MIT
"""Pretraining texts of the tiny base: reducing matrices row by row, without the answer format.

A pretrained language model has seen matrices of all shapes. The tiny base learns the same skill
from texts of another format. A text opens with `lines`, classifies the rows of a matrix of one of
five shapes, and is cut before an answer. Further texts classify the last row of a smaller matrix
(`last`) and add rows (`combine`). Complete problems open with `rank` and end in an `answer` field;
they are a trace. SFT teaches the answer format on four rows of five. No ID matrix has a fifth row
or a distance of five tokens between rows, so SFT can make the model unlearn both.

An answer needs four or five classifications among up to 4, 10, 20 and 34 possibilities. A copy or a
zero row is found by looking back a fixed distance. A sum of two rows is hard. So `last` puts the
whole loss on one classification, and `combine` names the sum that a classification must recognise.
Even so, the tiny base learns copies only: 7 of 10 answers are those of `differing_rows` in
`chance.shortcuts`, and where that is wrong, 17 % are right. The task therefore measures how
counting of differing rows is kept or lost, and says little about sums.

No matrix of a class in `selection` or `test` occurs in any format. Complete problems come from the
folds `train` (4x5) and `trace` (5x4).
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from derotate.tasks.matrices.grid import Matrix, class_name, spell
from derotate.tasks.matrices.pretraining import complete_problems
from derotate.tasks.mixture import Maker, draw_mixture
from derotate.tasks.rank.problems import (
    CLASSES,
    ID_BOUND,
    OOD_BOUND,
    SPLITS,
    Problem,
    draw_matrix,
)
from derotate.tasks.rank.prompts import compact_prompt, compact_response
from derotate.tasks.rank.solver import NEW, ZERO, judgements, spell_judgement, walk
from derotate.tasks.samples import Sample

LARGEST_NUMBER: Final = 2 * OOD_BOUND
_ROW_NAMES: Final = tuple(f"r{number}" for number in range(1, 6))

WORDS: Final = (
    *(str(number) for number in range(-LARGEST_NUMBER, LARGEST_NUMBER + 1)),
    *_ROW_NAMES,
    *(f"{sign}{name}" for sign in "+-" for name in _ROW_NAMES),
    *"/=;",
    *(NEW, ZERO),
    *("rank", "steps", "answer", "lines", "last", "combine"),
    *("wrong", "unreadable"),
)
"""The words of the compact language, in the order of their token ids."""

Shape = tuple[int, int]
# Rows and columns, with weights. Plain walks are mostly those of the two splits' shapes.
PLAIN_SHAPES: Final[tuple[tuple[Shape, ...], tuple[int, ...]]] = (
    ((3, 4), (3, 5), (4, 4), (4, 5), (5, 4)),
    (1, 1, 1, 3, 4),
)
LAST_SHAPES: Final[tuple[tuple[Shape, ...], tuple[int, ...]]] = (
    ((2, 4), (2, 5), (3, 4), (3, 5), (4, 4), (4, 5), (5, 4)),
    (1, 1, 2, 2, 2, 2, 3),
)


class _Drawn:
    """Random matrices of some shapes, all ranks alike, none of a class that is held out."""

    shapes = PLAIN_SHAPES

    def __init__(self) -> None:
        self._held_out = CLASSES.held_out(SPLITS)

    def matrix(self, draw: random.Random) -> Matrix:
        """A matrix with the entries of either split."""
        ((rows, columns),) = draw.choices(*self.shapes)
        bound = draw.choice((ID_BOUND, OOD_BOUND))
        wanted = draw.randint(1, min(rows, columns))
        while True:
            matrix = draw_matrix(draw, rows, columns, wanted, bound)
            # Classes that are held out have 20 entries; naming another shape's would be wasted.
            if rows * columns != 20 or class_name(matrix) not in self._held_out:
                return matrix


class _Plain(_Drawn):
    """`lines 1 0 2 1 / ... ; steps r1 new 1 r2 ...`, to the last row."""

    def __call__(self, draw: random.Random) -> Sample:
        matrix = self.matrix(draw)
        found = judgements(matrix) or ()
        # Cut after the walk: it must not teach to stop before the answer.
        return Sample("", f"lines {spell(matrix)} ; steps {walk(found)}", ends=False)


class _Last(_Drawn):
    """`last 1 0 2 1 / ... ; steps r3 +r1 -r2`."""

    shapes = LAST_SHAPES

    def __call__(self, draw: random.Random) -> Sample:
        matrix = self.matrix(draw)
        found = (judgements(matrix) or ())[-1]
        words = f"last {spell(matrix)} ; steps r{len(matrix)} {spell_judgement(found)}"
        # Cut short: in a complete problem further rows may follow.
        return Sample("", words, ends=False)


def _combine(draw: random.Random) -> Sample:
    """`combine 1 0 -2 / 0 1 1 ; +r1 -r2 = 1 -1 -3`, of two rows with entries of either split."""
    columns = draw.choice((4, 5))
    rows = [tuple([draw.randint(-OOD_BOUND, OOD_BOUND) for _ in range(columns)]) for _ in range(2)]
    terms = tuple(draw.choice((1, -1)) * number for number in draw.choice(((1,), (2,), (1, 2))))
    signs = [sum((n == i) - (n == -i) for n in terms) for i in (1, 2)]
    total = tuple([signs[0] * a + signs[1] * b for a, b in zip(*rows, strict=True)])
    return _text(f"combine {spell(tuple(rows))} ; {spell_judgement(terms)} = {spell((total,))}")


def _text(text: str) -> Sample:
    return Sample("", text)


def _complete(problem: Problem) -> str:
    return f"{compact_prompt(problem)} {compact_response(problem)}"


_MAKERS: Final[Mapping[str, Callable[[], Maker]]] = MappingProxyType(
    {
        "plain": _Plain,
        "last": _Last,
        "combine": lambda: _combine,
        "whole_id": lambda: complete_problems(CLASSES, "id", "train", _complete),
        "whole_ood": lambda: complete_problems(CLASSES, "ood", "trace", _complete),
    }
)


def samples(shares: Sequence[tuple[str, float]], seed: int, count: int) -> Iterator[Sample]:
    """`count` texts of the mixture without a prompt, see `mixture.draw_mixture`."""
    return draw_mixture(_MAKERS, shares, seed, count)
