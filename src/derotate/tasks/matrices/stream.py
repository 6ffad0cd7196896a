# SPDX-License-Identifier: MIT
"""The endless order of matrices that fine-tuning trains on: epochs of permutations, from a seed."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TypeVar

Problem = TypeVar("Problem")


def epochs(
    label: str, clusters: Sequence[str], deal: Callable[[str, str, random.Random], Problem]
) -> Iterator[Problem]:
    """Problems for ever: each epoch is all classes, shuffled, each shown in a new presentation.

    Args:
        label: names the stream and holds its seed; streams of different labels are unrelated.
        clusters: names of the classes, in a fixed order.
        deal: (class name, problem name, source of randomness) -> problem.
    """
    for epoch in count():
        draw = random.Random(f"{label} {epoch}")
        for index, cluster in enumerate(draw.sample(clusters, len(clusters))):
            yield deal(cluster, f"{label.replace(' ', '-')}-{cluster}-{epoch}-{index}", draw)
