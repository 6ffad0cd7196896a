# SPDX-License-Identifier: MIT
"""Many recipes on one matrix, block by block, from one decomposition of donor and patient.

Nested bands are a running sum: ten bands of one part cost as much as the widest of them. The sum
begins at the patient's weight and not at zero, which saves a pass over the block for each recipe.
Held beside the factors are one block and a copy of the shorter sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.factors import Factors
from derotate.surgery.edits import Change, Decompose, part_of, streamed_change

ROWS = 256
"""Rows of a block. Each recipe passes over the whole of it, so that it shall fit the cache; a
product of fewer rows reads the other side of the factors too often."""

SUMMED = ("values", "directions", "both")
"""Parts whose change is a sum over the columns of the band."""


@dataclass(frozen=True, eq=False)
class Step:
    """One block of the weight that one recipe makes.

    Attributes:
        recipe: whose weight it is.
        rows: slice of the longer side; see `changes.part_of`.
        weight: those rows, edited, or columns if the matrix is wide; of the type of the factors, or
            float32 where there are none. The next step may overwrite it.
    """

    recipe: Recipe
    rows: slice
    weight: Tensor


def streamed_grid(
    recipes: Iterable[Recipe],
    name: str,
    donor_weight: Tensor,
    patient_weight: Tensor,
    decompose: Decompose,
) -> Iterator[Step]:
    """The weights that many recipes make of one matrix: all recipes of a block, then the next one.

    Equal to the patient and `streamed_change` of each recipe up to the rounding of the weight.

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
    sums = _sums(nested, *sides, wide) if sides else []
    dtype = sides[1].s.dtype if sides else torch.float32
    long = max(patient_weight.shape)
    for rows in (slice(start, min(start + ROWS, long)) for start in range(0, long, ROWS)):
        before = part_of(patient_weight, rows).to(dtype)
        edited = torch.empty_like(before, memory_format=torch.contiguous_format)
        for recipe, change in alone:
            yield Step(recipe, rows, torch.add(before, change.block(rows), out=edited))
        for terms in sums:
            edited.copy_(before)
            for term in terms:
                term.add_to(edited.T if wide else edited, rows)
                yield Step(term.recipe, rows, edited)


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


@dataclass(frozen=True, eq=False)
class _Term:
    """What a band adds to the sum of the band before: far[rows] * scale @ near^T for each side.

    Attributes:
        recipe: whose weight is complete with it.
        far: views of the longer sides' columns [long, columns].
        scales: of those columns [columns].
        near: both shorter sides' columns [short, columns of all], shared by the parts.
    """

    recipe: Recipe
    far: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    near: Tensor

    def add_to(self, block: Tensor, rows: slice) -> None:
        """Add those rows of the term to a block [rows, short]."""
        scaled = [far[rows] * scale for far, scale in zip(self.far, self.scales, strict=True)]
        block.addmm_(torch.cat(scaled, dim=1) if len(scaled) > 1 else scaled[0], self.near.T)


def _sums(
    nested: dict[str, list[tuple[int, Recipe]]], donor: Factors, patient: Factors, wide: bool
) -> list[list[_Term]]:
    """The terms of each part's bands, the smallest band first."""
    far = (donor.v, patient.v) if wide else (donor.u, patient.u)
    near = (donor.u, patient.u) if wide else (donor.v, patient.v)
    joined: dict[tuple[int, int], Tensor] = {}

    def term(part: str, start: int, stop: int, recipe: Recipe) -> _Term:
        on = slice(start, stop)
        if part == "values":
            gained = donor.s[on] - patient.s[on]
            return _Term(recipe, (far[1][:, on],), (gained,), near[1][:, on])
        if (start, stop) not in joined:
            joined[start, stop] = torch.cat([side[:, on] for side in near], dim=1)
        comes = donor.s[on] if part == "both" else patient.s[on]
        scales = comes, -patient.s[on]
        return _Term(recipe, tuple(side[:, on] for side in far), scales, joined[start, stop])

    found = []
    for part, sized in nested.items():
        starts = [0, *(size for size, _ in sized)]
        found.append([term(part, start, *band) for start, band in zip(starts, sized, strict=False)])
    return found
