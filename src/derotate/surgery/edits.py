# SPDX-License-Identifier: MIT
"""Surgery: a recipe as a change of one matrix, W' = W_t + delta, b the donor and t the patient.

A change, not a rebuilt matrix: exactly zero at an empty band, and made of the band's columns only
(knowledge/performance.md, "Recipe algebra"). The published scripts rebuild U' diag(S) V'^T from two
decompositions for each recipe; the tests hold both to be equal. They also return W_b whole at a
full band, which restores singular values too (papers.md, section 5, fault 2): here a full band is a
band like any other.

The change never is in memory as a whole, but made block by block of the longer side: parts made of
the weights are differences of blocks, edits of bands are a product of two thin matrices, and the
aligned bases are held as the factors of their polar decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.angles import principal_angles
from derotate.spectral.decompose import Tall, factorise_streamed, part_of, tall_difference
from derotate.spectral.factors import Decompose, Factors
from derotate.spectral.nulls import matrix_generator
from derotate.surgery.band_edits import band_sides, paired_by_similarity, turn


@dataclass(frozen=True, eq=False)
class Thin:
    """A change of low rank, left @ right^T. Shapes: left [out, rank], right [in, rank]."""

    left: Tensor
    right: Tensor

    @property
    def norm(self) -> float:
        """Frobenius norm, from the Gram matrices of the thin sides."""
        left, right = self.left.to(torch.float64), self.right.to(torch.float64)
        return math.sqrt(max(0.0, float(((left.T @ left) * (right.T @ right)).sum())))


@dataclass(frozen=True, eq=False)
class Change:
    """The change of one matrix.

    Attributes:
        shape: (out, in).
        block: slice of the longer side -> change of those rows, or columns if the matrix is wide.
        thin: the same as a product of thin matrices, where the recipe's algebra gives one.
    """

    shape: tuple[int, int]
    block: Callable[[slice], Tensor]
    thin: Thin | None = None


def edited_blocks(change: Change, weight: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Stream (rows, change of those rows, edited weight in float32) over a weight of any type."""
    for rows in _blocks(change.shape):
        step = change.block(rows)
        yield rows, step, (part_of(weight, rows).to(torch.float32) + step).to(torch.float32)


def change_norm(change: Change) -> float:
    """Frobenius norm of a change, from its blocks."""
    blocks = (change.block(rows).to(torch.float64) for rows in _blocks(change.shape))
    return math.hypot(*(float(block.norm()) for block in blocks))


def _blocks(shape: tuple[int, int]) -> Iterator[slice]:
    return Tall(shape, lambda rows: torch.empty(0)).blocks()


def streamed_change(
    recipe: Recipe,
    name: str,
    donor_weight: Tensor,
    patient_weight: Tensor,
    decompose: Decompose,
    amount: float | None = None,
) -> Change:
    """The change that a recipe makes to one matrix.

    With B the band, b the donor, t the patient (design.md, "Surgery, exactly"):

    - values: U_t diag(S_b - S_t on B) V_t^T
    - directions: sum over B of S_t (u_b v_b^T - u_t v_t^T)
    - both: sum over B of S_b u_b v_b^T - S_t u_t v_t^T
    - aligned: directions whose mixed bases are replaced by the nearest orthonormal ones
    - rollback: W_b - W_t; interpolate: amount * (W_b - W_t)
    - low_rank: minus the best rank-r part of W_t - W_b (after LoX, arXiv 2506.15606)
    - random_rotation: the patient's band turned by the angles between its subspaces and the
      donor's, about random axes; random_norm: gaussian, with the norm of the directions edit

    Blocks are float64 where weights are subtracted, so that W_t + delta rounds to W_b exactly in a
    rollback; else of the type of the factors.

    Args:
        recipe: what to do.
        name: of the tensor, which seeds random parts together with `recipe.seed`.
        donor_weight: W_b [out, in], of the stored type, memory-mapped or not.
        patient_weight: W_t [out, in].
        decompose: called for both weights if the recipe needs factors.
        amount: of a matched interpolation, in place of `recipe.amount`.

    Raises:
        ValueError: the band does not fit the matrix, or an interpolation has no amount.
    """
    shape = (patient_weight.shape[0], patient_weight.shape[1])
    if recipe.part == "low_rank" and recipe.rank is not None and recipe.rank < min(shape):
        return _of_thin(shape, _low_rank(donor_weight, patient_weight, recipe.rank), torch.float64)
    if not recipe.needs_factors:
        return _towards(recipe, shape, donor_weight, patient_weight, amount)
    assert recipe.band is not None
    band = recipe.band.indices(min(shape))
    if not band:
        empty = torch.zeros(shape[0], 0), torch.zeros(shape[1], 0)
        return _of_thin(shape, Thin(*empty), torch.float32)
    donor, patient = decompose(donor_weight), decompose(patient_weight)
    if recipe.pairing == "similarity":
        donor = paired_by_similarity(donor, patient)
    sides = donor, patient, band
    if recipe.part == "aligned":
        return _aligned(shape, *sides)
    generator = matrix_generator(recipe.seed, name)
    if recipe.part == "random_norm":
        directions = _of_thin(shape, Thin(*band_sides("directions", *sides)), patient.s.dtype)
        return _random(shape, change_norm(directions), generator, patient.s.dtype)
    if recipe.part == "random_rotation":
        return _of_thin(shape, _turned(*sides, generator), patient.s.dtype)
    return _of_thin(shape, Thin(*band_sides(recipe.part, *sides)), patient.s.dtype)


def _towards(
    recipe: Recipe,
    shape: tuple[int, int],
    donor_weight: Tensor,
    patient_weight: Tensor,
    amount: float | None,
) -> Change:
    """Rollback, interpolation, or a low rank that is the full one: a share of W_b - W_t."""
    share = 1.0
    if recipe.part == "interpolate":
        given = recipe.amount if amount is None else amount
        if given is None:
            raise ValueError(
                f"recipe {recipe.name}: match = {recipe.match} has no amount yet, expected the one "
                "that was matched; give it"
            )
        share = given

    def block(rows: slice) -> Tensor:
        donor = part_of(donor_weight, rows).to(torch.float64)
        return share * (donor - part_of(patient_weight, rows).to(torch.float64))

    return Change(shape, block)


def _of_thin(shape: tuple[int, int], thin: Thin, dtype: torch.dtype) -> Change:
    def block(rows: slice) -> Tensor:
        wide = shape[0] < shape[1]
        product = thin.left @ thin.right[rows].T if wide else thin.left[rows] @ thin.right.T
        return product.to(dtype)

    return Change(shape, block, thin)


def _low_rank(donor_weight: Tensor, patient_weight: Tensor, rank: int) -> Thin:
    """The best part of W_b - W_t of that rank, float64."""
    difference = factorise_streamed(tall_difference(donor_weight, patient_weight), torch.float64)
    # copies, so that the rest of the factors is freed
    return Thin(difference.u[:, :rank] * difference.s[:rank], difference.v[:, :rank].clone())


def _turned(donor: Factors, patient: Factors, band: range, generator: torch.Generator) -> Thin:
    """The patient's band turned by the principal angles about random axes."""
    on = slice(band.start, band.stop)
    values = patient.s[on].to(torch.float64)
    u, v = patient.u[:, on].to(torch.float64), patient.v[:, on].to(torch.float64)
    du = turn(u, principal_angles(donor.u[:, on], u), generator)
    dv = turn(v, principal_angles(donor.v[:, on], v), generator)
    # (u + du) S (v + dv)^T - u S v^T
    left = torch.cat([du * values, u * values], dim=1)
    return Thin(left, torch.cat([v + dv, dv], dim=1))


def _random(
    shape: tuple[int, int], norm: float, generator: torch.Generator, dtype: torch.dtype
) -> Change:
    """Gaussian noise of that norm: drawn whole, as the order of its numbers is part of the seed."""
    noise = torch.randn(shape, dtype=torch.float64, generator=generator)
    noise *= norm / float(noise.norm())
    return Change(shape, lambda rows: part_of(noise, rows).to(dtype))


def _aligned(shape: tuple[int, int], donor: Factors, patient: Factors, band: range) -> Change:
    """Directions with orthonormal mixed bases, so that W' has the singular values S_t.

    Columns from two decompositions are not orthogonal, so U' diag(S_t) V'^T as published does not
    have the values S_t (papers.md, section 5, fault 4). The polar factor is the nearest
    orthonormal basis, and it treats the columns alike: no order, no sign is preferred.
    """
    wide = shape[0] < shape[1]
    sides = (donor.u, patient.u), (donor.v, patient.v)
    far_sides, near_sides = sides[::-1] if wide else sides
    values = patient.s.to(torch.float64)
    far, near = _mixed(*far_sides, band), _mixed(*near_sides, band)
    # the short sides with the values, [short, rank]: small, and the same for every block
    new_near = (near.u @ near.v.T) * values
    old_near = near_sides[1].to(torch.float64) * values

    def block(rows: slice) -> Tensor:
        new = (far.u[rows] @ far.v.T) @ new_near.T
        change = new - far_sides[1][rows].to(torch.float64) @ old_near.T
        return (change.T if wide else change).to(patient.s.dtype)

    return Change(shape, block)


def _mixed(donor_side: Tensor, patient_side: Tensor, band: range) -> Factors:
    """Factors of the patient's basis with the donor's columns on the band, float64."""
    on = slice(band.start, band.stop)

    def read(rows: slice) -> Tensor:
        basis = patient_side[rows].to(torch.float64, copy=True)
        basis[:, on] = donor_side[rows, on].to(torch.float64)
        return basis

    shape = patient_side.shape[0], patient_side.shape[1]
    return factorise_streamed(Tall(shape, read), torch.float64)
