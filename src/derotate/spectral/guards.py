# SPDX-License-Identifier: MIT
"""What the guards measure of a matrix that is read in blocks, and the verdict on each.

The study's guard takes the median over all matrices; a single matrix that was initialised again
does not move it. So each is also set beside what random matrices of its shape show.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from derotate.spectral.decompose import part_of, tall
from derotate.spectral.distance import marchenko_pastur_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from derotate.config.surgery import Guards


class GuardError(ValueError):
    """A checkpoint that fails a guard; one line with what was measured and what was expected."""


@dataclass(frozen=True)
class Measured:
    """What the guards see of a matrix.

    Attributes:
        matrix: name of the tensor.
        shape: (out, in).
        marchenko_pastur_distance: Kolmogorov distance of its spectrum to that of a random matrix;
            NaN where it was not decomposed.
        relative_change: ||W - W_ref|| / ||W_ref||; NaN where there is no reference.
    """

    matrix: str
    shape: tuple[int, int]
    marchenko_pastur_distance: float = float("nan")
    relative_change: float = float("nan")

    def failure(self, guards: Guards) -> str | None:
        """Why this matrix alone must not be used, as the rest of a sentence; None if it may.

        A threshold of 0 turns off what is asked of spectra, here as for the median.
        """
        lowest = random_distance(self.shape) if guards.marchenko_pastur_distance else 0.0
        if self.marchenko_pastur_distance < lowest:
            return (
                f"{self.matrix} has the spectrum of random weights: Kolmogorov distance to the "
                f"Marchenko-Pastur law {self.marchenko_pastur_distance:.4f}, expected at least "
                f"{lowest:.4f}; copy the checkpoint again, or train it further"
            )
        if self.relative_change > guards.relative_change:
            return (
                f"{self.matrix} differs from the reference by {self.relative_change:.3f} of its "
                f"norm, expected at most {guards.relative_change:g}; check that both are "
                "checkpoints of one model"
            )
        return None


def random_distance(shape: tuple[int, int]) -> float:
    """Kolmogorov distance to the random-matrix law that one in a hundred random matrices exceeds.

    (1.6 + 0.37 ln(n)) / n, n the shorter side. Of 4,160 gaussian and uniform matrices, n = 8 to
    576, the mean was 1.25 / n to 2.94 / n and the 99th of a hundred 1.9 / n to 4.2 / n, at most 7 %
    above this. Higher would refuse real weights: of SmolLM2-135M the nearest to the law, values in
    layer 26 (192 x 576), is at 4.0 / n, where this is 3.5 / n.
    """
    short = min(shape)
    return (1.6 + 0.37 * math.log(short)) / short


def law_distance(weight: Tensor, values: Tensor) -> float:
    """Kolmogorov distance of a weight's singular values to the law; 0 for a matrix of zeros."""
    if not bool(values.any()):
        return 0.0
    return marchenko_pastur_distance(values, (weight.shape[0], weight.shape[1]))


def relative_change(reference: Tensor, weight: Tensor) -> float:
    """||W - W_ref||_F / ||W_ref||_F in float64, block by block; NaN if the reference is zero."""
    change = before = torch.zeros((), dtype=torch.float64)
    for rows in tall(weight).blocks():
        base = part_of(reference, rows).to(torch.float64)
        change = change + (part_of(weight, rows).to(torch.float64) - base).square().sum()
        before = before + base.square().sum()
    return float((change / before).sqrt())


def refusals(checkpoint: str, measured: Sequence[Measured], guards: Guards) -> list[str]:
    """The guards that a checkpoint fails, a line each.

    Matrices that fail by themselves are one line, which names the first and counts the others.
    """
    alone = [why for row in measured if (why := row.failure(guards))]
    more = f" (and {len(alone) - 1} more of {len(measured)} matrices)" if len(alone) > 1 else ""
    found = [f"{checkpoint}: {why}{more}" for why in alone[:1]]
    distances = [row.marchenko_pastur_distance for row in measured]
    known = [distance for distance in distances if not math.isnan(distance)]
    if known and (middle := median(known)) < guards.marchenko_pastur_distance:
        found.append(
            f"{checkpoint}: spectra look like random weights: median Kolmogorov distance to the "
            f"Marchenko-Pastur law is {middle:.3f}, expected at least "
            f"{guards.marchenko_pastur_distance:g}; check that it was loaded under the right prefix"
        )
    return found


def refuse_or_warn(checkpoint: str, measured: Sequence[Measured], guards: Guards) -> None:
    """Do with a checkpoint that fails a guard what the config says.

    Raises:
        GuardError: one line, if `guards.action` is refuse.
    """
    failed = refusals(checkpoint, measured, guards)
    if failed and guards.action == "refuse":
        raise GuardError("; ".join(failed))
    for line in failed:
        logging.warning(line)


def loss_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """Largest difference of losses of a loaded model to those that its evaluation recorded; NaN if
    one of them is.

    Args:
        losses: nats a token, one a problem.
        recorded: of the same problems.
    """
    return float(np.abs(np.subtract(losses, recorded)).max())
