# SPDX-License-Identifier: MIT
"""What spectra look like when nothing was learned: the nulls beside every angle.

The released figures of LLaMA spectra are those of random initial weights: singular values that
agree within 1 % and vectors that look rotated by 25 to 90 degrees (papers.md, section 0.1). Two
nulls and one distance tell that from a finding: a random change of equal norm, two unrelated
matrices, and the Marchenko-Pastur law that random weights follow and trained ones do not.
"""

import math

import torch
from torch import Tensor


def norm_null(weight: Tensor, delta_norm: float, generator: torch.Generator) -> Tensor:
    """The donor's weight [out, in] plus gaussian noise of Frobenius norm `delta_norm`, float64.

    Its factors are compared with the donor's as a patient's are.
    """
    noise = torch.randn(weight.shape, dtype=torch.float64, generator=generator)
    return weight.to(torch.float64) + noise * (delta_norm / float(noise.norm()))


def unrelated_null(shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two unrelated gaussian matrices [out, in] in float64, to be compared as donor and patient.

    Angles between them depend on the shape alone: no fine-tuning rotates vectors further.
    """
    first, second = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    return first, second


def marchenko_pastur_distance(values: Tensor, shape: tuple[int, int]) -> float:
    """Kolmogorov distance of singular values from the law of a random matrix of that shape.

    The squares s^2 / (max(out, in) sigma^2) of an i.i.d. matrix with entries of variance sigma^2
    follow the Marchenko-Pastur law of ratio min(out, in) / max(out, in) (Marchenko and Pastur
    1967); sigma is fitted by the Frobenius norm. About 1 / rank for random weights of any scale;
    how far trained weights lie from that is measured for each base, and the threshold is config.

    Args:
        values: all min(out, in) singular values.
        shape: (out, in).

    Raises:
        ValueError: not all values are given, or they are all zero or not finite.
    """
    short, long = sorted(shape)
    squares = values.to(torch.float64).square().sort().values
    if squares.shape != (short,):
        raise ValueError(f"{squares.numel()} singular values, expected {short} for shape {shape}")
    total = float(squares.sum())
    if not 0 < total < math.inf:
        raise ValueError(f"squared singular values sum to {total}, expected a finite positive sum")
    variance = total / (short * long)
    law = _marchenko_pastur_cdf(squares / (long * variance), short / long)
    steps = torch.arange(short + 1, dtype=torch.float64) / short
    above, below = (steps[1:] - law).abs().max(), (law - steps[:-1]).abs().max()
    return float(torch.maximum(above, below))


def _marchenko_pastur_cdf(x: Tensor, ratio: float) -> Tensor:
    """Distribution function for ratio c in (0, 1], mean 1.

    With q = sqrt(c) and x = 1 + q^2 - 2 q cos(phi), phi in 0..pi over the support, the density
    becomes 2 sin^2(phi) / (pi (1 + q^2 - 2 q cos(phi))), whose integral is elementary.
    """
    q = math.sqrt(ratio)
    phi = ((1 + q**2 - x) / (2 * q)).clamp(-1.0, 1.0).acos()
    turn = torch.atan2((1 + q) * (phi / 2).sin(), (1 - q) * (phi / 2).cos())
    return (phi.sin() / q + (1 + q**2) / (2 * q**2) * phi - (1 - q**2) / q**2 * turn) / math.pi
