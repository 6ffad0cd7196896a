# SPDX-License-Identifier: MIT
"""Draws pretraining samples from a mixture of kinds."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from derotate.tasks.samples import Sample

Maker = Callable[[random.Random], Sample]
"""Draws one sample."""


def draw_mixture(
    makers: Mapping[str, Callable[[], Maker]],
    shares: Sequence[tuple[str, float]],
    seed: int,
    count: int,
) -> Iterator[Sample]:
    """`count` samples, a pure function of the shares and the seed.

    Args:
        makers: kind -> what builds its maker; called for the kinds in `shares` only.
        shares: pairs of a kind and its share.
        seed: of the stream.
        count: number of samples.

    Raises:
        ValueError: an unknown kind.
    """
    kinds = [kind for kind, _ in shares]
    for kind in kinds:
        if kind not in makers:
            raise ValueError(f"pretraining sample {kind!r}: expected one of {', '.join(makers)}")
    chosen = {kind: makers[kind]() for kind in kinds}
    draw = random.Random(f"pretraining {seed}")
    for kind in draw.choices(kinds, [share for _, share in shares], k=count):
        yield chosen[kind](draw)
