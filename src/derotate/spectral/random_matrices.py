# SPDX-License-Identifier: MIT
"""Laws of random matrices with independent entries, in closed form and without torch.

The guards use them, and so do figures and pages, which must not import torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq


def marchenko_pastur_cdf(x: ArrayLike, ratio: float) -> NDArray[np.float64]:
    """Distribution function of the law of ratio c in (0, 1] and mean 1, shape as `x`.

    With q = sqrt(c) and x = 1 + q^2 - 2 q cos(phi), phi in 0..pi over the support, the density
    becomes 2 sin^2(phi) / (pi (1 + q^2 - 2 q cos(phi))), whose integral is elementary (Marchenko
    and Pastur 1967).
    """
    q = math.sqrt(ratio)
    # Clipped, so that values below and above the support get probability 0 and 1.
    phi = np.arccos(np.clip((1 + q**2 - np.asarray(x, dtype=float)) / (2 * q), -1.0, 1.0))
    # arctan2 and not arctan of the ratio: at q = 1 and at phi = pi the denominator is zero.
    angle = np.arctan2((1 + q) * np.sin(phi / 2), (1 - q) * np.cos(phi / 2))
    integral = np.sin(phi) / q + (1 + q**2) / (2 * q**2) * phi - (1 - q**2) / q**2 * angle
    return np.asarray(integral / math.pi)


def share_below(values: ArrayLike, shape: tuple[int, int], deviation: float) -> NDArray[np.float64]:
    """Expected share of singular values below each of `values`.

    Args:
        values: singular values, any shape.
        shape: (out, in) of the matrix.
        deviation: standard deviation of its independent entries, above 0.
    """
    short, long = sorted(shape)
    squares = (np.asarray(values, dtype=float) / deviation) ** 2 / long
    return marchenko_pastur_cdf(squares, short / long)


def expected_value(index: int, shape: tuple[int, int], deviation: float) -> float:
    """Expected singular value of an index (0 the largest): a quantile of the law.

    The quantile is at 1 - (index + 1/2) / rank, the middle of the index's share.

    Args:
        index: 0 to min(out, in) - 1.
        shape: (out, in).
        deviation: standard deviation of the entries.
    """
    share = 1 - (index + 0.5) / min(shape)
    top = edge(shape, deviation)
    return float(brentq(lambda s: float(share_below(s, shape, deviation)) - share, 0.0, top))


def edge(shape: tuple[int, int], deviation: float) -> float:
    """The largest singular value of a large matrix, deviation * (sqrt(out) + sqrt(in))."""
    return deviation * (math.sqrt(shape[0]) + math.sqrt(shape[1]))


def unrelated_chordal(size: int, dimension: int) -> float:
    """sqrt(mean sin^2) of the principal angles of two unrelated subspaces, sqrt(1 - k / n)."""
    return math.sqrt(1 - size / dimension)


def unrelated_smallest_angle(size: int, dimension: int) -> float:
    """Smallest principal angle of two unrelated k-dimensional subspaces of n, in degrees.

    The squared cosines fill 0 to 4 c (1 - c) for c = k / n below a half, as n grows (Wachter 1980);
    from a half on the subspaces must meet and the angle is 0.
    """
    share = size / dimension
    return 0.0 if share >= 0.5 else math.degrees(math.acos(2 * math.sqrt(share * (1 - share))))


def stacked_radius(copies: int) -> float:
    """Projection radius of stacked unrelated square matrices, relative to that of one matrix.

    A row's radius in the plane of the leading right singular vectors is proportional to
    s_1 / sqrt(rows). For m stacked n x n matrices s_1 is proportional to sqrt(m n) + sqrt(n), so
    the ratio is (sqrt(m) + 1) / (2 sqrt(m)). Nearly equal matrices give 1.
    """
    return (math.sqrt(copies) + 1) / (2 * math.sqrt(copies))
