# SPDX-License-Identifier: MIT
"""What surgery needs beside the changes themselves: which matrices, which pairs of vectors, random
axes, and the amount of an interpolation that is matched.

The algebra of each recipe is in `derotate.surgery.edits`.
"""

from collections.abc import Callable, Iterable

import torch
from scipy.optimize import brentq, linear_sum_assignment
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.factors import Factors

LOSS_TOLERANCE = 1e-3
"""Precision in the amount of an interpolation that is matched by loss: each step of the solver is
an evaluation of a model, and a change of the amount by 0.001 moves no loss that can be measured."""


def band_sides(part: str, donor: Factors, patient: Factors, band: range) -> tuple[Tensor, Tensor]:
    """Thin matrices [out, k], [in, k], whose product is the change of values, directions or both.

    The sign of a pair (u, v) cancels, so the signs of two decompositions need not agree.
    """
    on = slice(band.start, band.stop)
    if part == "values":
        return patient.u[:, on] * (donor.s[on] - patient.s[on]), patient.v[:, on]
    scale = donor.s[on] if part == "both" else patient.s[on]
    left = torch.cat([donor.u[:, on] * scale, patient.u[:, on] * -patient.s[on]], dim=1)
    return left, torch.cat([donor.v[:, on], patient.v[:, on]], dim=1)


def paired_by_similarity(donor: Factors, patient: Factors) -> Factors:
    """The donor's triplets in the order that gives each the most similar one of the patient.

    One to one, with the largest sum of |u_b . u_t| |v_b . v_t|: singular values that crossed
    between donor and patient are no longer taken for vectors that moved.
    """
    similarity = (donor.u.T @ patient.u).abs() * (donor.v.T @ patient.v).abs()
    _, order = linear_sum_assignment(similarity.T.numpy(force=True), maximize=True)
    index = torch.from_numpy(order)
    return Factors(donor.u[:, index], donor.s[index], donor.v[:, index])


def turn(basis: Tensor, angles: Tensor, generator: torch.Generator) -> Tensor:
    """Change of an orthonormal basis [n, k] turned by `angles` [k] in random orthogonal planes.

    Each plane is spanned by a random direction inside the span and one outside. Outside there are
    n - k directions, and not more of the angles can differ from zero.
    """
    n, k = basis.shape
    planes = min(k, n - k)
    angles = angles[k - planes :]
    inside = _orthonormal(torch.randn(k, planes, dtype=torch.float64, generator=generator))
    outward = torch.randn(n, planes, dtype=torch.float64, generator=generator)
    outside = _orthonormal(outward - basis @ (basis.T @ outward))
    # cos - 1 = -2 sin^2(angle / 2), precise for small angles.
    shrink = -2 * (angles / 2).sin().square()
    return (basis @ (inside * shrink) + outside * angles.sin()) @ inside.T


def _orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal basis of gaussian columns, uniformly distributed (Mezzadri 2007)."""
    basis, triangle = torch.linalg.qr(columns)
    sign = torch.where(triangle.diagonal() < 0, -1.0, 1.0).to(columns.dtype)
    return basis * sign


def edited_names(recipe: Recipe, tensor_names: Iterable[str]) -> list[str]:
    """Names of the tensors that the recipe edits, in the given order.

    Raises:
        ValueError: a layer or a kind of matrix that the recipe names does not exist.
    """
    every = list(tensor_names)
    for key, wanted in (("layers", recipe.layers), ("matrices", recipe.matrices)):
        for item in wanted or ():
            if not any(recipe.model_copy(update={key: (item,)}).edits(name) for name in every):
                raise ValueError(
                    f"recipe {recipe.name}: {key} names {item}, expected {key} of the checkpoint"
                )
    names = [name for name in every if recipe.edits(name)]
    if not names:
        raise ValueError(f"recipe {recipe.name} edits no tensor, expected Llama or Qwen2 names")
    return names


def interpolation_for_loss(loss_at: Callable[[float], float], target: float) -> float | None:
    """Amount in 0..1 at which the loss of the interpolation is `target`, to `LOSS_TOLERANCE`.

    `loss_at(amount)` is evaluated about ten times. None if the target is not between the losses of
    patient (amount 0) and donor (amount 1): nothing is then bracketed, and no control can be made.
    """
    ends = {0.0: loss_at(0.0) - target, 1.0: loss_at(1.0) - target}
    if ends[0.0] * ends[1.0] > 0:
        return None
    return float(
        brentq(
            lambda amount: ends[amount] if amount in ends else loss_at(amount) - target,
            0.0,
            1.0,
            xtol=LOSS_TOLERANCE,
        )
    )
