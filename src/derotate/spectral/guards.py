# SPDX-License-Identifier: MIT
"""Guards: is a checkpoint trained, near its reference, and the one that was evaluated?

The guard on spectra takes the median over all matrices, which a single re-initialised matrix does
not move. So each matrix is also compared with random matrices of its shape.
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

from derotate.spectral.decompose import block_of, tall_view
from derotate.spectral.distance import marchenko_pastur_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from derotate.config.surgery import Guards


class GuardError(ValueError):
    """A checkpoint fails a guard: one line with the measured and the expected value."""


@dataclass(frozen=True)
class Measured:
    """Guard measurements of one matrix.

    Attributes:
        matrix: name of the tensor.
        shape: (out, in).
        marchenko_pastur_distance: Kolmogorov distance of its spectrum to the random-matrix law; NaN
            if it was not decomposed.
        relative_change: ||W - W_ref||_F / ||W_ref||_F; NaN without a reference.
    """

    matrix: str
    shape: tuple[int, int]
    marchenko_pastur_distance: float = float("nan")
    relative_change: float = float("nan")

    def failure(self, guards: Guards) -> str | None:
        """The reason why this matrix alone is refused, for a message; None if it passes."""
        # A threshold of 0 turns off the guard on spectra, here as for the median.
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
    """99th percentile of the Kolmogorov distance of random matrices to the random-matrix law.

    (1.6 + 0.37 ln(n)) / n, n the shorter side. Fitted to 4,160 gaussian and uniform matrices, n = 8
    to 576: their mean was 1.25 / n to 2.94 / n and their 99th percentile 1.9 / n to 4.2 / n, at
    most 7 % above the fit.
    """
    # A higher threshold would refuse real weights: of SmolLM2-135M the matrix nearest to the law, v
    # in layer 26 (192 x 576), is at 4.0 / n, where this is 3.5 / n.
    short = min(shape)
    return (1.6 + 0.37 * math.log(short)) / short


def law_distance(weight: Tensor, values: Tensor) -> float:
    """Kolmogorov distance of a weight's singular values to the law; 0 for a zero matrix."""
    if not bool(values.any()):
        return 0.0
    return marchenko_pastur_distance(values, (weight.shape[0], weight.shape[1]))


def relative_change(reference: Tensor, weight: Tensor) -> float:
    """||W - W_ref||_F / ||W_ref||_F in float64, block by block; NaN if the reference is zero."""
    change = norm = torch.zeros((), dtype=torch.float64)
    for rows in tall_view(weight).blocks():
        base = block_of(reference, rows).to(torch.float64)
        change = change + (block_of(weight, rows).to(torch.float64) - base).square().sum()
        norm = norm + base.square().sum()
    return float((change / norm).sqrt())


def refusals(checkpoint: str, measured: Sequence[Measured], guards: Guards) -> list[str]:
    """The guards that a checkpoint fails, one line per guard.

    Matrices that fail on their own share one line, which names the first and counts the others.
    """
    reasons = [reason for row in measured if (reason := row.failure(guards))]
    more = f" (and {len(reasons) - 1} more of {len(measured)} matrices)" if reasons[1:] else ""
    lines = [f"{checkpoint}: {reason}{more}" for reason in reasons[:1]]
    distances = [row.marchenko_pastur_distance for row in measured]
    decomposed = [distance for distance in distances if not math.isnan(distance)]
    if decomposed and (middle := median(decomposed)) < guards.marchenko_pastur_distance:
        lines.append(
            f"{checkpoint}: spectra look like random weights: median Kolmogorov distance to the "
            f"Marchenko-Pastur law is {middle:.3f}, expected at least "
            f"{guards.marchenko_pastur_distance:g}; check that it was loaded under the right prefix"
        )
    return lines


def refuse_or_warn(checkpoint: str, measured: Sequence[Measured], guards: Guards) -> None:
    """Refuse a checkpoint that fails a guard, or log a warning, as the config says.

    Raises:
        GuardError: one line, if `guards.action` is refuse.
    """
    failed = refusals(checkpoint, measured, guards)
    # All failures in one error: a second run is not needed to see the next one.
    if failed and guards.action == "refuse":
        raise GuardError("; ".join(failed))
    for line in failed:
        logging.warning(line)


def loss_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """Largest difference between a loaded model's losses and those of its evaluation.

    Args:
        losses: nats per token, one per problem.
        recorded: of the same problems, from the rows of the evaluation.

    Returns:
        NaN if a loss is NaN.
    """
    return float(np.abs(np.subtract(losses, recorded)).max())
