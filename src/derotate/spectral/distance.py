# SPDX-License-Identifier: MIT
"""Distance of a weight from another, and of its spectrum from that of a random matrix.

The guards check both before a spectrum is used: random weights follow the Marchenko-Pastur law,
trained ones do not.
"""

import math

import torch
from torch import Tensor

from derotate.spectral.random_matrices import marchenko_pastur_cdf


def relative_norm(donor_weight: Tensor, patient_weight: Tensor) -> float:
    """||W_t - W_b||_F / ||W_b||_F of weights [out, in]; NaN if the donor's is zero."""
    before = donor_weight.to(torch.float64)
    change = patient_weight.to(torch.float64) - before
    return float(change.norm() / before.norm())


def marchenko_pastur_distance(values: Tensor, shape: tuple[int, int]) -> float:
    """Kolmogorov distance of singular values to the law of a random matrix of that shape.

    The squares s^2 / (max(out, in) sigma^2) of an i.i.d. matrix with entries of variance sigma^2
    follow the Marchenko-Pastur law of ratio min(out, in) / max(out, in) (Marchenko and Pastur
    1967); sigma is fitted to the Frobenius norm. The distance is about 1 / rank for random weights
    of any scale. That of trained weights depends on the model, so the threshold is config.

    Args:
        values: all min(out, in) singular values.
        shape: (out, in).

    Raises:
        ValueError: another number of values, or all are zero, or one is not finite.
    """
    short, long = sorted(shape)
    squares = values.to(torch.float64).square().sort().values
    if squares.shape != (short,):
        raise ValueError(f"{squares.numel()} singular values, expected {short} for shape {shape}")
    total = float(squares.sum())
    if not 0 < total < math.inf:
        raise ValueError(f"squared singular values sum to {total}, expected a finite positive sum")
    variance = total / (short * long)
    law = torch.from_numpy(
        marchenko_pastur_cdf((squares / (long * variance)).numpy(), short / long)
    )
    # The empirical distribution jumps at each value, so both ends of each step are compared.
    steps = torch.arange(short + 1, dtype=torch.float64) / short
    above, below = (steps[1:] - law).abs().max(), (law - steps[:-1]).abs().max()
    return float(torch.maximum(above, below))
