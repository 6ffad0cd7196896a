# SPDX-License-Identifier: MIT
"""Surgery: the change that a recipe makes to one matrix, W' = W_t + delta, b donor, t patient.

The published scripts rebuild U' diag(S) V'^T from two decompositions per recipe. Here only delta is
computed, from the columns of the band alone, so it is exactly zero for an empty band; the tests
show that both give the same weight. At a full band the published scripts return W_b, which restores
singular values too (a fault of the code released with arXiv 2509.12235); here a full band is a band
like any other.

Delta is never in memory as a whole, but computed in blocks along the longer side. Differences of
weights are taken block by block, edits of a band are products of two thin matrices, and aligned
bases are kept as the factors of their polar decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.angles import principal_angles
from derotate.spectral.decompose import TallView, block_of, difference_view, factorise_streamed
from derotate.spectral.factors import Decompose, Factors
from derotate.spectral.nulls import matrix_generator
from derotate.surgery.band_edits import band_sides, paired_by_similarity, rotation_change


@dataclass(frozen=True, eq=False)
class LowRank:
    """A low-rank change left @ right^T. Shapes: left [out, rank], right [in, rank]."""

    left: Tensor
    right: Tensor

    @property
    def norm(self) -> float:
        """Frobenius norm: ||L R^T||^2 = sum((L^T L) * (R^T R)), so the product is not formed."""
        left, right = self.left.to(torch.float64), self.right.to(torch.float64)
        return math.sqrt(max(0.0, float(((left.T @ left) * (right.T @ right)).sum())))


@dataclass(frozen=True, eq=False)
class Change:
    """The change delta of one matrix.

    Attributes:
        shape: (out, in).
        block: slice of the longer side -> delta on these rows, or columns if the matrix is wide.
        low_rank: the same as a product of thin matrices, where the recipe's algebra gives one.
    """

    shape: tuple[int, int]
    block: Callable[[slice], Tensor]
    low_rank: LowRank | None = None


def edited_blocks(change: Change, weight: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Stream (rows, delta, W + delta in float32) over the blocks of a weight of any dtype."""
    for rows in _blocks(change.shape):
        delta = change.block(rows)
        # A float64 delta is added in float64, so that a rollback rounds to W_b exactly.
        yield rows, delta, (block_of(weight, rows).to(torch.float32) + delta).to(torch.float32)


def change_norm(change: Change) -> float:
    """Frobenius norm of a change, in float64."""
    blocks = (change.block(rows).to(torch.float64) for rows in _blocks(change.shape))
    return math.hypot(*(float(block.norm()) for block in blocks))


def _blocks(shape: tuple[int, int]) -> Iterator[slice]:
    return TallView(shape, lambda rows: torch.empty(0)).blocks()


def streamed_change(
    recipe: Recipe,
    name: str,
    donor_weight: Tensor,
    patient_weight: Tensor,
    decompose: Decompose,
    amount: float | None = None,
) -> Change:
    """The change that a recipe makes to one matrix.

    With B the band, b the donor, t the patient, and columns u, v of U, V:

    - values: U_t diag(S_b - S_t on B, else 0) V_t^T
    - directions: sum over B of S_t (u_b v_b^T - u_t v_t^T)
    - both: sum over B of S_b u_b v_b^T - S_t u_t v_t^T
    - aligned: as directions, with the mixed bases replaced by the nearest orthonormal ones
    - rollback: W_b - W_t; interpolate: amount * (W_b - W_t)
    - low_rank: minus the best rank-r part of W_t - W_b (after LoX, arXiv 2506.15606)
    - random_rotation: the patient's band rotated in random planes by the principal angles between
      its subspaces and the donor's
    - random_norm: gaussian noise with the norm of the directions edit

    Blocks are float64 where weights are subtracted, so that W_t + delta rounds to W_b exactly in a
    rollback; else they have the dtype of the factors.

    Args:
        recipe: the edit.
        name: of the tensor; with `recipe.seed` it seeds the random parts.
        donor_weight: W_b [out, in], of the stored dtype, memory-mapped or not.
        patient_weight: W_t [out, in].
        decompose: called for the donor's and then the patient's weight if the recipe needs factors.
        amount: of a matched interpolation, in place of `recipe.amount`.

    Raises:
        ValueError: the band is wider than the matrix, or an interpolation has no amount.
    """
    shape = (patient_weight.shape[0], patient_weight.shape[1])
    # The full rank is the whole difference and needs no decomposition.
    if recipe.part == "low_rank" and recipe.rank is not None and recipe.rank < min(shape):
        low_rank = _low_rank(donor_weight, patient_weight, recipe.rank)
        return _product(shape, low_rank, torch.float64)
    if not recipe.needs_factors:
        return _interpolation(recipe, donor_weight, patient_weight, amount)
    assert recipe.band is not None
    band = recipe.band.indices(min(shape))
    # Without a decomposition: a study has an empty band where a fraction rounds to 0.
    if not band:
        empty = LowRank(torch.zeros(shape[0], 0), torch.zeros(shape[1], 0))
        return _product(shape, empty, torch.float32)
    donor, patient = decompose(donor_weight), decompose(patient_weight)
    dtype = patient.s.dtype
    if recipe.pairing == "similarity":
        donor = paired_by_similarity(donor, patient)
    if recipe.part == "aligned":
        return _aligned(shape, donor, patient, band)
    generator = matrix_generator(recipe.seed, name)
    if recipe.part == "random_norm":
        directions = LowRank(*band_sides("directions", donor, patient, band))
        norm = change_norm(_product(shape, directions, dtype))
        return _noise(shape, norm, generator, dtype)
    if recipe.part == "random_rotation":
        return _product(shape, _random_rotation(donor, patient, band, generator), dtype)
    return _product(shape, LowRank(*band_sides(recipe.part, donor, patient, band)), dtype)


def _interpolation(
    recipe: Recipe, donor_weight: Tensor, patient_weight: Tensor, amount: float | None
) -> Change:
    """scale * (W_b - W_t): interpolation, and at scale 1 rollback and low_rank of full rank."""
    shape = (patient_weight.shape[0], patient_weight.shape[1])
    scale = 1.0
    if recipe.part == "interpolate":
        wanted = recipe.amount if amount is None else amount
        if wanted is None:
            raise ValueError(
                f"recipe {recipe.name}: match = {recipe.match} has no amount yet, expected the "
                "matched amount; pass it"
            )
        scale = wanted

    def block(rows: slice) -> Tensor:
        donor = block_of(donor_weight, rows).to(torch.float64)
        return scale * (donor - block_of(patient_weight, rows).to(torch.float64))

    return Change(shape, block)


def _product(shape: tuple[int, int], low_rank: LowRank, dtype: torch.dtype) -> Change:
    """left @ right^T, multiplied block by block."""

    def block(rows: slice) -> Tensor:
        wide = shape[0] < shape[1]
        left = low_rank.left if wide else low_rank.left[rows]
        right = low_rank.right[rows] if wide else low_rank.right
        return (left @ right.T).to(dtype)

    return Change(shape, block, low_rank)


def _low_rank(donor_weight: Tensor, patient_weight: Tensor, rank: int) -> LowRank:
    """The best rank-r approximation of W_b - W_t (Eckart and Young 1936), float64."""
    difference = factorise_streamed(difference_view(donor_weight, patient_weight), torch.float64)
    # Copies, not views: a view would keep all factors in memory.
    return LowRank(difference.u[:, :rank] * difference.s[:rank], difference.v[:, :rank].clone())


def _random_rotation(
    donor: Factors, patient: Factors, band: range, generator: torch.Generator
) -> LowRank:
    """The patient's band rotated in random planes by its principal angles to the donor's."""
    on = slice(band.start, band.stop)
    values = patient.s[on].to(torch.float64)
    u, v = patient.u[:, on].to(torch.float64), patient.v[:, on].to(torch.float64)
    du = rotation_change(u, principal_angles(donor.u[:, on], u), generator)
    dv = rotation_change(v, principal_angles(donor.v[:, on], v), generator)
    # (u + du) S (v + dv)^T - u S v^T = du S (v + dv)^T + u S dv^T
    left = torch.cat([du * values, u * values], dim=1)
    return LowRank(left, torch.cat([v + dv, dv], dim=1))


def _noise(
    shape: tuple[int, int], norm: float, generator: torch.Generator, dtype: torch.dtype
) -> Change:
    """Gaussian noise of this Frobenius norm."""
    # Drawn as a whole and not by block: the order of the draws belongs to the result of a seed.
    noise = torch.randn(shape, dtype=torch.float64, generator=generator)
    noise *= norm / float(noise.norm())
    return Change(shape, lambda rows: block_of(noise, rows).to(dtype))


def _aligned(shape: tuple[int, int], donor: Factors, patient: Factors, band: range) -> Change:
    """Directions with orthonormal mixed bases, so that W' has the singular values S_t.

    Columns from two decompositions are not orthogonal, so the published U' diag(S_t) V'^T does not
    have the singular values S_t (a fault of the code released with arXiv 2509.12235). The polar
    factor is the nearest orthonormal basis (Fan and Hoffman 1955); it prefers no order and no sign
    of the columns.
    """
    wide = shape[0] < shape[1]
    left, right = (donor.u, patient.u), (donor.v, patient.v)
    long_pair, short_pair = (right, left) if wide else (left, right)
    values = patient.s.to(torch.float64)
    long_mixed, short_mixed = _mixed_basis(*long_pair, band), _mixed_basis(*short_pair, band)
    # The short sides times S_t, [short, rank]: small, and the same for every block.
    # With M = P diag(s) Q^T, the polar factor of M is P Q^T.
    new_short = (short_mixed.u @ short_mixed.v.T) * values
    old_short = short_pair[1].to(torch.float64) * values

    def block(rows: slice) -> Tensor:
        new = (long_mixed.u[rows] @ long_mixed.v.T) @ new_short.T
        delta = new - long_pair[1][rows].to(torch.float64) @ old_short.T
        return (delta.T if wide else delta).to(patient.s.dtype)

    return Change(shape, block)


def _mixed_basis(donor_basis: Tensor, patient_basis: Tensor, band: range) -> Factors:
    """Factors (float64) of the patient's basis [n, rank] with the donor's columns on the band."""
    on = slice(band.start, band.stop)

    def read(rows: slice) -> Tensor:
        basis = patient_basis[rows].to(torch.float64, copy=True)
        basis[:, on] = donor_basis[rows, on].to(torch.float64)
        return basis

    shape = patient_basis.shape[0], patient_basis.shape[1]
    return factorise_streamed(TallView(shape, read), torch.float64)
