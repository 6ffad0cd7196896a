# SPDX-License-Identifier: MIT
"""Metrics of the change of a weight, beyond those of `derotate.spectral.rotation`.

Metrics of raw_metrics_angle.py, released with arXiv 2509.12235, and two more:
sparsity and off-principal energy of an update. W_b is the donor's weight, W_t the patient's,
dW = W_t - W_b [out, in], and k the size of a top subspace. A "random change" is isotropic: it has
gaussian entries. Docstrings give its expected value where a closed form exists.
"""

import math

import torch
from torch import Tensor

from derotate.spectral.factors import Factors

SPARSITY_TOLERANCE = 1e-3
"""Relative change below which an entry counts as unchanged: under half the spacing of bfloat16,
which is 2^-9 to 2^-8 of a number, so that a weight stored in bfloat16 would not show it."""


def energies(
    donor: Factors, donor_weight: Tensor, patient_weight: Tensor, size: int
) -> dict[str, float]:
    """Shares of ||dW||_F^2 in the donor's top bases of `size` vectors.

    With C = U_k^T dW V_k [k, k]:

    - diagonal: ||diag C||^2, scaling of single triplets (delta_energy_diag)
    - rotational: ||C||^2 - ||diag C||^2, mixing of triplets (delta_energy_rot)
    - off_principal: ||dW - U_k C V_k^T||^2, outside the top subspaces on at least one side

    They add up to 1. diagonal + rotational is `inside` of
    `derotate.spectral.rotation.donor_energy`, whose `outside` is outside on both sides. Expected
    for a random change: `isotropic_energies`. NaN where nothing changed.
    """
    u, v = (basis[:, :size].to(torch.float64) for basis in (donor.u, donor.v))
    change = _change(donor_weight, patient_weight)
    mixing = u.T @ change @ v
    stretch = mixing.diagonal()
    parts = {
        "diagonal": stretch,
        "rotational": mixing - stretch.diag(),
        "off_principal": change - u @ mixing @ v.T,
    }
    total = change.square().sum()
    return {name: float(part.square().sum() / total) for name, part in parts.items()}


def isotropic_energies(shape: tuple[int, int], size: int) -> dict[str, float]:
    """Expected shares of `energies` and `donor_energy` for a random change of any norm, exact.

    A gaussian change is invariant to rotations, so each of its out * in entries in any pair of
    bases has the same expected share.

    Args:
        shape: (out, in).
        size: k, at most min(out, in).
    """
    rows, columns = shape
    left, right = size / rows, size / columns
    inside = left * right
    return {
        "diagonal": inside / size,
        "rotational": inside - inside / size,
        "off_principal": 1 - inside,
        "inside": inside,
        "left": left,
        "right": right,
        "outside": (1 - left) * (1 - right),
    }


def residual(donor: Factors, patient_weight: Tensor, size: int) -> float:
    """Energy that the donor's top bases miss in the patient: 1 - ||U_k^T W_t V_k||^2 / ||S_k||^2.

    Negative where the patient has more energy there than the donor; the published script clips
    these to zero (a fault of the code released with arXiv 2509.12235). Expected for a random change
    of norm d, which is uncorrelated with the donor: -d^2 k^2 / (out in ||S_k||^2). NaN for a zero
    donor.
    """
    u, v = (basis[:, :size].to(torch.float64) for basis in (donor.u, donor.v))
    inside = (u.T @ patient_weight.to(torch.float64) @ v).square().sum()
    return float(1 - inside / donor.s[:size].to(torch.float64).square().sum())


def isotropic_residual(donor: Factors, delta_norm: float, size: int) -> float:
    """Expected `residual` after a random change of Frobenius norm `delta_norm`."""
    top = float(donor.s[:size].to(torch.float64).square().sum())
    if top == 0:
        return math.nan
    return -(delta_norm**2) * size**2 / (donor.u.shape[0] * donor.v.shape[0] * top)


def chordal_distance(angles: Tensor) -> float:
    """Root mean square sine of principal angles [k] in radians, 0 to 1 (arXiv 2509.12235).

    Unrelated subspaces: `random_matrices.unrelated_chordal`. A random change has no closed form,
    because its rotation depends on the gaps of the donor's spectrum; `norm_null` measures it.
    """
    return float(angles.to(torch.float64).sin().square().mean().sqrt())


def projection_distance(angles: Tensor) -> float:
    """||U_b U_b^T - U_t U_t^T||_F of two subspaces with these principal angles [k], in radians.

    sqrt(2 sum sin^2 theta), at most sqrt(2 k): sqrt(2 k) times the chordal distance. The published
    script computes the equal sqrt(2 k - 2 ||U_b^T U_t||^2), a difference of large numbers that
    loses small angles.
    """
    return float((2 * angles.to(torch.float64).sin().square().sum()).sqrt())


def column_alignment(basis_a: Tensor, basis_b: Tensor) -> float:
    """Mean over the columns of A of the largest |a_i . b_j|, bases [n, k] each; 0 to 1.

    1 if each vector occurs in B at any index, so swapped triplets do not lower it. Unrelated bases
    have no closed form: about sqrt(2 ln k / n), the largest of k random overlaps.
    """
    overlaps = basis_a.to(torch.float64).T @ basis_b.to(torch.float64)
    return float(overlaps.abs().amax(dim=1).mean())


def direction_energy(angles: Tensor, values: Tensor) -> float:
    """Mean angle of singular vectors, weighted by the energy sigma^2 of their triplets.

    sum theta_i sigma_i^2 / sum sigma_i^2. The published figure shows the numerator, which grows
    with the norm of the weight and has no stated unit. Angles must be of single vectors, since a
    principal angle has no singular value. Unrelated vectors of n dimensions: pi/2 - sqrt(2/(pi n)).

    Args:
        angles: [k]; the result has their unit.
        values: the donor's singular values [k]; NaN if all are zero.
    """
    weights = values.to(torch.float64).square()
    return float((angles.to(torch.float64) * weights).sum() / weights.sum())


def update_sparsity(
    donor_weight: Tensor, patient_weight: Tensor, tolerance: float = SPARSITY_TOLERANCE
) -> float:
    """Share of unchanged entries, |w_t - w_b| <= tolerance * max(|w_t|, |w_b|).

    After arXiv 2511.08567, with a tolerance of our own: what a bfloat16 weight would not show. An
    absolute tolerance would count all small weights as unchanged. Expected for a random change:
    `isotropic_sparsity`.
    """
    before, after = donor_weight.to(torch.float64), patient_weight.to(torch.float64)
    larger = torch.maximum(before.abs(), after.abs())
    return float(((after - before).abs() <= tolerance * larger).to(torch.float64).mean())


def isotropic_sparsity(relative_change: float, tolerance: float = SPARSITY_TOLERANCE) -> float:
    """`update_sparsity` of a random change of relative norm r: (2/pi) atan(tolerance / r).

    dW / W is a ratio of gaussians, which has a Cauchy distribution of scale r. This holds to first
    order in the tolerance and for gaussian weights; heavier tails give other shares.
    """
    # atan2 and not atan of the ratio: without a change, r = 0, all entries are unchanged.
    return 2 / math.pi * math.atan2(tolerance, relative_change)


def change_values(donor_weight: Tensor, patient_weight: Tensor) -> Tensor:
    """Singular values of dW, float64 [min(out, in)], descending.

    For a random change they follow the Marchenko-Pastur law, see
    `derotate.spectral.distance.marchenko_pastur_distance`.
    """
    # A change can have low rank. The Gram matrix would lose values below 1e-8 of the largest.
    values: Tensor = torch.linalg.svdvals(_change(donor_weight, patient_weight))
    return values


def stable_rank(values: Tensor) -> float:
    """||dW||_F^2 / sigma_1^2 from the singular values of dW: 1 for rank one; NaN where all are 0.

    At most the rank, and without a threshold. Expected for a random change:
    `isotropic_stable_rank`.
    """
    squares = values.to(torch.float64).square()
    return float(squares.sum() / squares.max())


def isotropic_stable_rank(shape: tuple[int, int]) -> float:
    """Stable rank of a large random change: out in / (sqrt(out) + sqrt(in))^2.

    Its largest singular value is at the edge of the Marchenko-Pastur law. In smaller matrices it is
    below the edge, so their stable rank is higher, by 6 % at 300 x 200.
    """
    rows, columns = shape
    return rows * columns / (math.sqrt(rows) + math.sqrt(columns)) ** 2


def _change(donor_weight: Tensor, patient_weight: Tensor) -> Tensor:
    return patient_weight.to(torch.float64) - donor_weight.to(torch.float64)
