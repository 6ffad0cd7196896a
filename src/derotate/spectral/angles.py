# SPDX-License-Identifier: MIT
"""Angles between singular vectors and principal angles between the subspaces they span.

The arc cosine loses small angles: in float32 all below about 0.02 degrees are zero (a fault of the
code released with arXiv 2509.12235). Here sines come from the residual of a projection, which is
precise for small angles.
"""

import torch
from torch import Tensor


def principal_angles(basis_a: Tensor, basis_b: Tensor) -> Tensor:
    """Principal angles in radians between the spans of two orthonormal bases [n, k], ascending.

    theta_i = asin sigma_i((I - A A^T) B), float64 [k]: the same angles as arccos sigma(A^T B) of
    raw_metrics_angle.py, released with arXiv 2509.12235. The relative error is small for small
    angles and the absolute error is 2e-8 rad near 90 degrees; float32 factors alone have errors of
    1e-7.
    """
    a, b = basis_a.to(torch.float64), basis_b.to(torch.float64)
    sines: Tensor = torch.linalg.svdvals(b - a @ (a.T @ b))
    # The residual is [n, k] with k <= n, so there are k sines also for k > n / 2.
    # Rounding can give a sine just above 1, whose arc sine is NaN. svdvals descend, angles ascend.
    return sines.clamp(max=1.0).asin().flip(0)


def vector_angles(vectors_a: Tensor, vectors_b: Tensor) -> Tensor:
    """Angles in radians, 0 to pi/2, between columns of equal index, [n, k] each -> float64 [k].

    A singular vector and its negative are the same direction, so signs do not matter.
    """
    a, b = vectors_a.to(torch.float64), vectors_b.to(torch.float64)
    cosines = (a * b).sum(dim=0)
    sines = (b - a * cosines).norm(dim=0)
    # Precise at both ends: the arc sine loses angles near 90 degrees, the arc cosine those near 0.
    return torch.atan2(sines, cosines.abs())
