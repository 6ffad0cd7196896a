# SPDX-License-Identifier: MIT
"""Parts of surgery: edits of a band, pairing of vectors, random rotations, matched interpolations.

`derotate.surgery.edits` combines them to the change that each recipe makes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from scipy.optimize import brentq, linear_sum_assignment
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.factors import Factors

LOSS_TOLERANCE = 1e-3
"""Tolerance of the amount of an interpolation matched by loss. Each step of the solver evaluates a
model, and a change of the amount by 0.001 has no measurable effect on its loss."""


def band_sides(part: str, donor: Factors, patient: Factors, band: range) -> tuple[Tensor, Tensor]:
    """Left [out, r] and right [in, r], whose product left right^T is the change of a band.

    Args:
        part: values (r = k, the size of the band), directions or both (r = 2 k).
        donor: factors of W_b [out, in].
        patient: factors of W_t [out, in].
        band: indices of the singular values concerned.
    """
    # The sign of a pair (u, v) cancels in u v^T, so two decompositions may differ in signs.
    on = slice(band.start, band.stop)
    if part == "values":
        return patient.u[:, on] * (donor.s[on] - patient.s[on]), patient.v[:, on]
    scale = donor.s[on] if part == "both" else patient.s[on]
    # sum s u_b v_b^T - s_t u_t v_t^T over the band: one product of concatenated columns.
    left = torch.cat([donor.u[:, on] * scale, patient.u[:, on] * -patient.s[on]], dim=1)
    return left, torch.cat([donor.v[:, on], patient.v[:, on]], dim=1)


def paired_by_similarity(donor: Factors, patient: Factors) -> Factors:
    """The donor's triplets, reordered so that index i holds the match of the patient's triplet i.

    The assignment is one to one and maximises the sum of |u_b . u_t| |v_b . v_t|. Pairing by index
    would read singular values that crossed between donor and patient as rotated vectors.
    """
    similarity = (donor.u.T @ patient.u).abs() * (donor.v.T @ patient.v).abs()
    # Rows are the patient's triplets, so that the result is the donor's index for each of them.
    _, order = linear_sum_assignment(similarity.T.numpy(force=True), maximize=True)
    index = torch.from_numpy(order)
    return Factors(donor.u[:, index], donor.s[index], donor.v[:, index])


def rotation_change(basis: Tensor, angles: Tensor, generator: torch.Generator) -> Tensor:
    """R B - B for an orthonormal basis B [n, k], R a rotation by `angles` in random planes.

    The planes are orthogonal; each is spanned by a random direction inside the span of B and one
    outside.

    Args:
        basis: [n, k], float64.
        angles: [k] in radians, ascending.
        generator: of the random directions.
    """
    n, k = basis.shape
    # Only n - k directions lie outside; more angles than that cannot differ from zero.
    planes = min(k, n - k)
    angles = angles[k - planes :]
    inside = _orthonormal(torch.randn(k, planes, dtype=torch.float64, generator=generator))
    outward = torch.randn(n, planes, dtype=torch.float64, generator=generator)
    outside = _orthonormal(outward - basis @ (basis.T @ outward))
    # cos(angle) - 1 = -2 sin^2(angle / 2), which does not cancel for small angles.
    shrink = -2 * (angles / 2).sin().square()
    return (basis @ (inside * shrink) + outside * angles.sin()) @ inside.T


def _orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal basis of gaussian columns, uniformly distributed (Mezzadri 2007)."""
    basis, triangle = torch.linalg.qr(columns)
    # QR fixes signs in its own way, so without this the distribution would not be uniform.
    sign = torch.where(triangle.diagonal() < 0, -1.0, 1.0).to(columns.dtype)
    return basis * sign


def edited_names(recipe: Recipe, tensor_names: Iterable[str]) -> list[str]:
    """Names of the tensors that the recipe edits, in the given order.

    Raises:
        ValueError: a layer or a kind of matrix that the recipe names does not exist.
    """
    tensors = list(tensor_names)
    for key, items in (("layers", recipe.layers), ("matrices", recipe.matrices)):
        for item in items or ():
            if not any(recipe.model_copy(update={key: (item,)}).edits(name) for name in tensors):
                raise ValueError(
                    f"recipe {recipe.name}: {key} names {item}, expected {key} of the checkpoint"
                )
    names = [name for name in tensors if recipe.edits(name)]
    if not names:
        raise ValueError(f"recipe {recipe.name} edits no tensor, expected Llama or Qwen2 names")
    return names


@dataclass(frozen=True)
class Match:
    """The amount of an interpolation that is matched to another recipe.

    Attributes:
        amount: weight of the donor.
        exact: whether the interpolation has the wanted loss or norm; else its nearer end is taken.
    """

    amount: float
    exact: bool = True


def interpolation_for_loss(loss_at: Callable[[float], float], target: float) -> Match:
    """Amount in 0..1 at which an interpolation has the loss `target`, to `LOSS_TOLERANCE`.

    Args:
        loss_at: loss by amount, nats per token; evaluated about ten times.
        target: nats per token.

    Returns:
        If the target is not between the losses of patient (amount 0) and donor (amount 1), no root
        is bracketed: then the end whose loss is nearer to the target, not exact.
    """
    ends = {0.0: loss_at(0.0) - target, 1.0: loss_at(1.0) - target}
    if ends[0.0] * ends[1.0] > 0:
        return Match(min(ends, key=lambda amount: abs(ends[amount])), exact=False)
    return Match(
        brentq(
            lambda amount: ends[amount] if amount in ends else loss_at(amount) - target,
            0.0,
            1.0,
            xtol=LOSS_TOLERANCE,
        )
    )
