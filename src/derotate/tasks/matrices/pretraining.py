# SPDX-License-Identifier: MIT
"""Pretraining samples that show a complete problem of a matrix task."""

import random
from collections.abc import Callable

from derotate.tasks.matrices.classes import MatrixClasses
from derotate.tasks.matrices.problem import P
from derotate.tasks.mixture import Maker
from derotate.tasks.samples import Sample


def complete_problems(
    classes: MatrixClasses[P], split: str, fold: str, text: Callable[[P], str]
) -> Maker:
    """Draws complete problems of one split and fold: the trace of the answer format.

    Args:
        classes: of the task.
        split: of the problems.
        fold: `train` or `trace`; nothing is selected or tested on them.
        text: prompt and response of a problem.
    """
    clusters = classes.in_fold(split, fold)

    def sample(draw: random.Random) -> Sample:
        return Sample("", text(classes.deal(split, draw.choice(clusters), "", draw)))

    return sample
