# SPDX-License-Identifier: MIT
"""Angles between singular vectors and between the subspaces that they span.

The arc cosine cannot tell a small angle from zero: in float32 all below about 0.02 degrees are
lost (papers.md, section 5, fault 10). Here sines come from what is left of a vector after
projection, which is precise where angles are small.
"""

import torch
from torch import Tensor


def principal_angles(basis_a: Tensor, basis_b: Tensor) -> Tensor:
    """Principal angles in radians between the spans of two orthonormal bases [n, k], ascending.

    theta_i = asin sigma_i((I - A A^T) B), in float64, shape [k]. Exact in relative terms where
    small, to 2e-8 rad near 90 degrees; factors kept in float32 are themselves off by about 1e-7.
    Equal to arccos sigma(A^T B) of papers.md, section 3 (raw_metrics_angle.py).
    """
    a, b = basis_a.to(torch.float64), basis_b.to(torch.float64)
    sines: Tensor = torch.linalg.svdvals(b - a @ (a.T @ b))
    # A residual [n, k] of a wide basis (k > n / 2) is not wider than tall, so there are k sines.
    return sines.clamp(max=1.0).asin().flip(0)


def vector_angles(vectors_a: Tensor, vectors_b: Tensor) -> Tensor:
    """Angles in radians, 0 to pi/2, between columns of equal index, [n, k] each -> float64 [k].

    Free of sign: a singular vector and its negative are the same direction.
    """
    a, b = vectors_a.to(torch.float64), vectors_b.to(torch.float64)
    cosines = (a * b).sum(dim=0)
    sines = (b - a * cosines).norm(dim=0)
    return torch.atan2(sines, cosines.abs())
