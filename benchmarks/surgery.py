# SPDX-License-Identifier: MIT
"""A grid of 30 recipes on 28 matrices, beside the published scripts' way to make them.

Ours decomposes each matrix of donor and patient once and shares sums among recipes; the published
scripts decompose both for each recipe. Only computing is timed: nothing is read or written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from time import perf_counter

import torch
from comparison import REPEATS, THREADS, Comparison, alternate, show
from published_surgery import edited_weight as published_surgery
from recipe_grid import GRID
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.decompose import factorise, part_of
from derotate.spectral.grid import streamed_grid

Pair = tuple[Tensor, Tensor]
"""Weight of the donor, weight of the patient [out, in]."""

NAME = "model.layers.0.mlp.up_proj.weight"
"""Random parts are seeded by it; no recipe here has one."""
TOLERANCE = 5e-3
"""Largest difference of two edits, relative to the edit. The published way rebuilds the whole
weight from float32 factors, which is off by 3e-6 of the weight; an edit of values changes the
weight by just 0.3 to 0.6 % of itself, so the same error is up to 1e-3 of the edit."""


def matrices(count: int, shape: tuple[int, int] = (576, 1536)) -> list[Pair]:
    """Synthetic donors, and patients at a relative distance of 10 %.

    Their inputs differ in scale by 100, so that singular values spread as those of weights do.
    Time does not depend on what the entries are.
    """
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(0, -2, shape[1])
    donors = [torch.randn(shape, generator=generator) * scale for _ in range(count)]
    return [
        (donor, donor + 0.1 * scale * torch.randn(shape, generator=generator)) for donor in donors
    ]


def our_surgery(
    pairs: Sequence[Pair], recipes: Sequence[Recipe]
) -> Iterator[tuple[str, int, Tensor]]:
    """Recipe name, index of the matrix and edited weight; each weight is decomposed once."""
    for index, (donor, patient) in enumerate(pairs):
        edited = {recipe.name: torch.empty_like(patient) for recipe in recipes}
        for step in streamed_grid(recipes, NAME, donor, patient, factorise):
            part_of(edited[step.recipe.name], step.rows).copy_(step.weight)
        for name, weight in edited.items():
            yield name, index, weight


def difference(ours: Tensor, published: Tensor, patient: Tensor) -> float:
    """Norm of the difference of two edited weights, relative to the edit."""
    return float((ours - published).norm() / (published - patient).norm())


def compare(repeats: int = REPEATS, pairs: Sequence[Pair] | None = None) -> Comparison:
    """Seconds a grid: all of it our way, two recipes of it by the published one and scaled up.

    Each repeat takes another two recipes, so that ten of the grid are compared in the end.
    """
    torch.set_num_threads(THREADS)
    pairs = matrices(28) if pairs is None else pairs
    sample = random.Random(0).sample(GRID, 2 * repeats)
    differences: list[float] = []
    kept: dict[tuple[str, int], Tensor] = {}

    def ours(repeat: int) -> float:
        compared = {recipe.name for recipe in sample[2 * repeat : 2 * repeat + 2]}
        kept.clear()
        start = perf_counter()
        for name, index, weight in our_surgery(pairs, GRID):
            if name in compared:
                kept[name, index] = weight
        return perf_counter() - start

    def baseline(repeat: int) -> float:
        seconds = 0.0
        for recipe in sample[2 * repeat : 2 * repeat + 2]:
            for index, (donor, patient) in enumerate(pairs):
                start = perf_counter()
                published = published_surgery(recipe, donor, patient)
                seconds += perf_counter() - start
                differences.append(difference(kept[recipe.name, index], published, patient))
        return seconds * len(GRID) / 2

    ours_seconds, baseline_seconds = alternate(ours, baseline, repeats)
    rows, columns = pairs[0][0].shape
    return Comparison(
        name=f"surgery, {len(GRID)} recipes on {len(pairs)} matrices {rows} x {columns}",
        baseline="published formula on 2 recipes, scaled",
        unit="grid",
        target=20,
        ours_seconds=ours_seconds,
        baseline_seconds=baseline_seconds,
        equal=max(differences) <= TOLERANCE,
        checked=f"edits of {len(sample)} recipes differ by at most {max(differences):.1e} "
        f"of their norm (bound {TOLERANCE:g})",
    )


if __name__ == "__main__":
    show(compare())
