# SPDX-License-Identifier: MIT
"""Surgery: a recipe as a change of one matrix, W' = W_t + delta, b the donor and t the patient.

A change, not a rebuilt matrix: exactly zero at an empty band, and a product of the band's columns
only, so that many recipes share one decomposition (knowledge/performance.md, "Recipe algebra").
The published scripts rebuild U' diag(S) V'^T from two decompositions for each recipe; the tests
hold both to be equal. They also return W_b whole at a full band, which restores singular values
too (papers.md, section 5, fault 2): here a full band is a band like any other.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from scipy.optimize import brentq, linear_sum_assignment
from torch import Tensor

from derotate.spectral.angles import principal_angles
from derotate.spectral.recipes import Recipe
from derotate.spectral.svd import Factors, factorise

LOSS_TOLERANCE = 1e-3
"""Precision in the amount of an interpolation that is matched by loss: each step of the solver is
an evaluation of a model, and a change of the amount by 0.001 moves no loss that can be measured."""


def delta(
    recipe: Recipe,
    donor: Factors | None,
    patient: Factors | None,
    donor_weight: Tensor,
    patient_weight: Tensor,
    *,
    amount: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The change [out, in] that the recipe makes to one matrix of the patient.

    With B the band, b the donor, t the patient (design.md, "Surgery, exactly"):

    - values: U_t diag(S_b - S_t on B) V_t^T
    - directions: sum over B of S_t (u_b v_b^T - u_t v_t^T)
    - both: sum over B of S_b u_b v_b^T - S_t u_t v_t^T
    - aligned: directions whose mixed bases are replaced by the nearest orthonormal ones
    - rollback: W_b - W_t; interpolate: amount * (W_b - W_t)
    - low_rank: minus the best rank-r part of W_t - W_b (after LoX, arXiv 2506.15606)
    - random_rotation: the patient's band turned by the angles between its subspaces and the
      donor's, about random axes; random_norm: gaussian, with the norm of the directions edit

    Args:
        recipe: what to do; its layers, matrices and donor are the caller's business.
        donor: factors of `donor_weight`; None if not `recipe.needs_factors`.
        patient: factors of `patient_weight`; None likewise.
        donor_weight: W_b [out, in].
        patient_weight: W_t [out, in].
        amount: of an interpolation, in place of `recipe.amount`; beyond 1 it passes the donor.
        generator: of random parts; by default one seeded with `recipe.seed`.

    Returns:
        float64 where weights are subtracted, so that W_t + delta rounds to W_b exactly in a
        rollback; else the type of the factors.

    Raises:
        ValueError: factors or amount are missing, or the band does not fit the matrix.
    """
    if not recipe.needs_factors:
        return _weight_delta(recipe, donor_weight, patient_weight, amount)
    if donor is None or patient is None:
        raise ValueError(f"recipe {recipe.name}: part = {recipe.part} needs factors of both sides")
    assert recipe.band is not None
    band = recipe.band.indices(patient.rank)
    if not band:
        return torch.zeros(patient_weight.shape, dtype=patient.s.dtype)
    if recipe.part in ("random_rotation", "random_norm"):
        generator = generator or torch.Generator().manual_seed(recipe.seed)
        random = _random_rotation if recipe.part == "random_rotation" else _random_norm
        return random(donor, patient, band, generator)
    if recipe.pairing == "similarity":
        donor = paired_by_similarity(donor, patient)
    if recipe.part == "aligned":
        return _aligned(donor, patient, band)
    return _band_delta(recipe.part, donor, patient, band)


def deltas(
    recipes: Iterable[Recipe],
    donor: Factors,
    patient: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
) -> Iterator[tuple[Recipe, Tensor]]:
    """The changes that many recipes make to one matrix, in an order of its own.

    Nested top bands of one part are a running sum, so that a whole grid of values, directions or
    both costs one product of full rank. Equal to `delta` up to rounding; random parts draw from
    `recipe.seed` alone.
    """
    nested: dict[str, list[tuple[int, Recipe]]] = {}
    for recipe in recipes:
        band = recipe.band
        nests = recipe.part in ("values", "directions", "both") and recipe.pairing == "index"
        if nests and band is not None and band.where == "top":
            nested.setdefault(recipe.part, []).append((band.size(patient.rank), recipe))
        else:
            yield recipe, delta(recipe, donor, patient, donor_weight, patient_weight)
    for part, sized in nested.items():
        total = torch.zeros(patient_weight.shape, dtype=patient.s.dtype)
        done = 0
        for size, recipe in sorted(sized, key=lambda pair: pair[0]):
            total = total + _band_delta(part, donor, patient, range(done, size))
            done = size
            yield recipe, total


def paired_by_similarity(donor: Factors, patient: Factors) -> Factors:
    """The donor's triplets in the order that gives each the most similar one of the patient.

    One to one, with the largest sum of |u_b . u_t| |v_b . v_t|: singular values that crossed
    between donor and patient are no longer taken for vectors that moved.
    """
    similarity = (donor.u.T @ patient.u).abs() * (donor.v.T @ patient.v).abs()
    _, order = linear_sum_assignment(similarity.T.numpy(force=True), maximize=True)
    index = torch.from_numpy(order)
    return Factors(donor.u[:, index], donor.s[index], donor.v[:, index])


def _weight_delta(
    recipe: Recipe, donor_weight: Tensor, patient_weight: Tensor, amount: float | None
) -> Tensor:
    back = donor_weight.to(torch.float64) - patient_weight.to(torch.float64)
    if recipe.part == "rollback":
        return back
    if recipe.part == "interpolate":
        amount = recipe.amount if amount is None else amount
        if amount is None:
            raise ValueError(
                f"recipe {recipe.name}: match = {recipe.match} has no amount yet, expected one "
                "from interpolation_for_norm or interpolation_for_loss"
            )
        return amount * back
    assert recipe.rank is not None
    if recipe.rank >= min(back.shape):
        return back
    part = factorise(back, torch.float64)
    kept = slice(0, recipe.rank)
    return (part.u[:, kept] * part.s[kept]) @ part.v[:, kept].T


def _band_delta(part: str, donor: Factors, patient: Factors, band: range) -> Tensor:
    """The change by values, directions or both: one product over the columns of the band.

    The sign of a pair (u, v) cancels, so the signs of two decompositions need not agree.
    """
    on = slice(band.start, band.stop)
    if part == "values":
        return (patient.u[:, on] * (donor.s[on] - patient.s[on])) @ patient.v[:, on].T
    scale = donor.s[on] if part == "both" else patient.s[on]
    left = torch.cat([donor.u[:, on] * scale, patient.u[:, on] * -patient.s[on]], dim=1)
    return left @ torch.cat([donor.v[:, on], patient.v[:, on]], dim=1).T


def _aligned(donor: Factors, patient: Factors, band: range) -> Tensor:
    """Directions with orthonormal mixed bases, so that W' has the singular values S_t.

    Columns from two decompositions are not orthogonal, so U' diag(S_t) V'^T as published does not
    have the values S_t (papers.md, section 5, fault 4). The polar factor is the nearest
    orthonormal basis, and it treats the columns alike: no order, no sign is preferred.
    """

    def mixed(donor_side: Tensor, patient_side: Tensor) -> Tensor:
        basis = patient_side.to(torch.float64, copy=True)
        basis[:, band.start : band.stop] = donor_side[:, band.start : band.stop]
        polar = factorise(basis, torch.float64)
        return polar.u @ polar.v.T

    values = patient.s.to(torch.float64)
    left, right = mixed(donor.u, patient.u), mixed(donor.v, patient.v)
    before = (patient.u.to(torch.float64) * values) @ patient.v.to(torch.float64).T
    return ((left * values) @ right.T - before).to(patient.s.dtype)


def _random_rotation(
    donor: Factors, patient: Factors, band: range, generator: torch.Generator
) -> Tensor:
    """The patient's band with both bases turned by the principal angles, about random axes."""
    on = slice(band.start, band.stop)
    values = patient.s[on].to(torch.float64)
    u, v = patient.u[:, on].to(torch.float64), patient.v[:, on].to(torch.float64)
    du = _turn(u, principal_angles(donor.u[:, on], u), generator)
    dv = _turn(v, principal_angles(donor.v[:, on], v), generator)
    # (u + du) S (v + dv)^T - u S v^T without the difference of nearly equal terms.
    turned: Tensor = (du * values) @ (v + dv).T + (u * values) @ dv.T
    return turned.to(patient.s.dtype)


def _turn(basis: Tensor, angles: Tensor, generator: torch.Generator) -> Tensor:
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


def _random_norm(
    donor: Factors, patient: Factors, band: range, generator: torch.Generator
) -> Tensor:
    """Gaussian change with the Frobenius norm of the directions edit of the same band."""
    norm = float(_band_delta("directions", donor, patient, band).to(torch.float64).norm())
    shape = (patient.u.shape[0], patient.v.shape[0])
    noise = torch.randn(shape, dtype=torch.float64, generator=generator)
    return (noise * (norm / float(noise.norm()))).to(patient.s.dtype)


def matrix_generator(seed: int, tensor_name: str) -> torch.Generator:
    """Random numbers of one matrix, whatever the order in which matrices are edited."""
    digest = hashlib.sha256(f"{seed}:{tensor_name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


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


def edited_weights(
    recipe: Recipe,
    donor_state: Mapping[str, Tensor],
    patient_state: Mapping[str, Tensor],
    donor_factors: Mapping[str, Factors],
    patient_factors: Mapping[str, Factors],
    amount: float | None = None,
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Stream (tensor name, new float32 weight, delta) of the matrices that the recipe edits.

    One matrix at a time is in memory if the mappings read lazily. Factors may be empty mappings if
    not `recipe.needs_factors`. `amount` is that of a matched interpolation.

    Raises:
        ValueError: a tensor or its factors are missing, or donor and patient differ in shape.
    """
    for name in edited_names(recipe, patient_state):
        if name not in donor_state:
            raise ValueError(f"tensor {name} is not in the donor, expected equal models")
        for side, factors in (("donor", donor_factors), ("patient", patient_factors)):
            if recipe.needs_factors and name not in factors:
                raise ValueError(f"tensor {name} has no factors of the {side}, expected its SVD")
        donor_weight, weight = donor_state[name], patient_state[name]
        if donor_weight.shape != weight.shape:
            raise ValueError(
                f"tensor {name} is {list(donor_weight.shape)} in the donor, expected "
                f"{list(weight.shape)} as in the patient"
            )
        change = delta(
            recipe,
            donor_factors.get(name),
            patient_factors.get(name),
            donor_weight,
            weight,
            amount=amount,
            generator=matrix_generator(recipe.seed, name),
        )
        yield name, (weight.to(torch.float32) + change).to(torch.float32), change


def edit_norm(
    recipe: Recipe,
    donor_state: Mapping[str, Tensor],
    patient_state: Mapping[str, Tensor],
    donor_factors: Mapping[str, Factors],
    patient_factors: Mapping[str, Factors],
    amount: float | None = None,
) -> float:
    """Frobenius norm of the recipe's change over all matrices that it edits."""
    edited = edited_weights(
        recipe, donor_state, patient_state, donor_factors, patient_factors, amount
    )
    return math.hypot(*(float(change.to(torch.float64).norm()) for _, _, change in edited))


def interpolation_for_norm(
    target_norm: float,
    donor_state: Mapping[str, Tensor],
    patient_state: Mapping[str, Tensor],
    names: Sequence[str],
) -> float:
    """Amount of an interpolation of the named tensors whose change has the norm `target_norm`.

    Above 1 where the target exceeds the distance to the donor: such an interpolation passes it.

    Raises:
        ValueError: donor and patient are equal, so that no amount reaches a norm above zero.
    """
    changes = (donor_state[name].double() - patient_state[name].double() for name in names)
    distance = math.hypot(*(float(change.norm()) for change in changes))
    if target_norm == 0:
        return 0.0
    if distance == 0:
        raise ValueError(f"no interpolation has norm {target_norm:g}: donor and patient are equal")
    return target_norm / distance


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
