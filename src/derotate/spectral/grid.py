# SPDX-License-Identifier: MIT
"""Many recipes on one matrix, block by block, from one decomposition of donor and patient.

Nested bands are a running sum, as in `derotate.spectral.surgery.deltas`: ten bands of one part cost
as much as the widest of them. What is held beside the factors is one block for each part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from derotate.spectral.changes import Change, Decompose, streamed_change
from derotate.spectral.recipes import Recipe
from derotate.spectral.svd import Factors

ROWS = 256
"""Rows of a block. Each recipe passes over the whole of it, so that it shall fit the cache; a
product of fewer rows reads the other side of the factors too often."""

SUMMED = ("values", "directions", "both")
"""Parts whose change is a sum over the columns of the band."""


@dataclass(frozen=True, eq=False)
class Step:
    """The change that one recipe makes to one block of a matrix.

    Attributes:
        recipe: whose change it is.
        rows: slice of the longer side; see `changes.part_of`.
        change: of those rows, or columns if the matrix is wide. The next step may overwrite it.
    """

    recipe: Recipe
    rows: slice
    change: Tensor


def streamed_grid(
    recipes: Iterable[Recipe],
    name: str,
    donor_weight: Tensor,
    patient_weight: Tensor,
    decompose: Decompose,
) -> Iterator[Step]:
    """The changes that many recipes make to one matrix: all recipes of a block, then the next one.

    Equal to `streamed_change` of each recipe up to rounding.

    Args:
        recipes: what to do; their layers and matrices are the caller's business.
        name: of the tensor, which seeds random parts.
        donor_weight: W_b [out, in], of the stored type, memory-mapped or not.
        patient_weight: W_t [out, in].
        decompose: called once for each of the two weights, and only if a recipe needs factors.

    Raises:
        ValueError: a band does not fit the matrix, or an interpolation has no amount.
    """
    recipes = list(recipes)
    sides = (
        (decompose(donor_weight), decompose(patient_weight))
        if any(recipe.needs_factors for recipe in recipes)
        else None
    )

    def known(weight: Tensor) -> Factors:
        assert sides is not None
        return sides[0] if weight is donor_weight else sides[1]

    nested = _nested(recipes, min(patient_weight.shape))
    alone: list[tuple[Recipe, Change]] = [
        (recipe, streamed_change(recipe, name, donor_weight, patient_weight, known))
        for recipe in recipes
        if not _nests(recipe)
    ]
    wide = patient_weight.shape[0] < patient_weight.shape[1]
    long = max(patient_weight.shape)
    for rows in (slice(start, min(start + ROWS, long)) for start in range(0, long, ROWS)):
        for recipe, change in alone:
            yield Step(recipe, rows, change.block(rows))
        if sides is None:
            continue
        donor, patient = (_part_of_factors(side, rows, wide) for side in sides)
        for part, sized in nested.items():
            for recipe, total in _running(part, sized, donor, patient):
                yield Step(recipe, rows, total)


def _nests(recipe: Recipe) -> bool:
    return (
        recipe.part in SUMMED
        and recipe.pairing == "index"
        and recipe.band is not None
        and recipe.band.where == "top"
    )


def _nested(recipes: Iterable[Recipe], rank: int) -> dict[str, list[tuple[int, Recipe]]]:
    """Part -> its top bands by size, with their recipes."""
    found: dict[str, list[tuple[int, Recipe]]] = {}
    for recipe in recipes:
        if _nests(recipe):
            assert recipe.band is not None
            found.setdefault(recipe.part, []).append((recipe.band.size(rank), recipe))
    return {part: sorted(sized, key=lambda pair: pair[0]) for part, sized in found.items()}


def _part_of_factors(factors: Factors, rows: slice, wide: bool) -> Factors:
    """Factors of those rows, or columns if the matrix is wide: views."""
    if wide:
        return Factors(factors.u, factors.s, factors.v[rows])
    return Factors(factors.u[rows], factors.s, factors.v)


def _running(
    part: str, sized: Sequence[tuple[int, Recipe]], donor: Factors, patient: Factors
) -> Iterator[tuple[Recipe, Tensor]]:
    """The sum over the columns of each band, which goes on from that of the band before."""
    shape = patient.u.shape[0], patient.v.shape[0]
    total = torch.zeros(shape, dtype=patient.s.dtype)
    done = 0
    for size, recipe in sized:
        on = slice(done, size)
        if part == "values":
            gained = donor.s[on] - patient.s[on]
            total.addmm_(patient.u[:, on] * gained, patient.v[:, on].T)
        else:
            scale = donor.s[on] if part == "both" else patient.s[on]
            total.addmm_(donor.u[:, on] * scale, donor.v[:, on].T)
            total.addmm_(patient.u[:, on] * -patient.s[on], patient.v[:, on].T)
        done = size
        yield recipe, total
