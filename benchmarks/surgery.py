# SPDX-License-Identifier: MIT
"""A grid of 30 recipes on 28 matrices, compared with the published algorithm.

Ours is the path of a study: each matrix of donor and patient is decomposed once, and each recipe
makes its change from these factors. The published scripts decompose both for every recipe. Only
computing is timed: nothing is read or written.
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
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import Factors
from derotate.surgery.edits import streamed_change
from derotate.surgery.in_memory import apply_change

Pair = tuple[Tensor, Tensor]
"""Weight of the donor, weight of the patient [out, in]."""

NAME = "model.layers.0.mlp.up_proj.weight"
"""Seeds random parts; no recipe here has one."""
TARGET = 6
"""The changes of the recipes take most of the time, so the ratio is far below 30."""
TOLERANCE = 5e-3
"""Largest difference of two edits, relative to the edit. The published algorithm rebuilds the
weight from float32 factors, with an error of 3e-6 of the weight. An edit of values changes the
weight by only 0.3 to 0.6 % of its norm, so the same error is up to 1e-3 of the edit."""


def matrices(count: int, shape: tuple[int, int] = (576, 1536)) -> list[Pair]:
    """Synthetic donors, and patients at a relative distance of 10 %.

    Their inputs differ in scale by a factor of 100, so that singular values spread as those of
    weights do. Time does not depend on the entries.
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
        factors = {id(weight): factorise(weight) for weight in (donor, patient)}

        def known(weight: Tensor, factors: dict[int, Factors] = factors) -> Factors:
            return factors[id(weight)]

        for recipe in recipes:
            edited = torch.empty_like(patient)
            apply_change(streamed_change(recipe, NAME, donor, patient, known), patient, edited)
            yield recipe.name, index, edited


def difference(ours: Tensor, published: Tensor, patient: Tensor) -> float:
    """Norm of the difference of two edited weights, relative to the edit."""
    return float((ours - published).norm() / (published - patient).norm())


def compare(repeats: int = REPEATS, pairs: Sequence[Pair] | None = None) -> Comparison:
    """Seconds per grid: ours measured in full, the published algorithm scaled from two recipes.

    Each repeat takes another two recipes, so that five repeats compare ten of the grid.
    """
    torch.set_num_threads(THREADS)
    pairs = matrices(28) if pairs is None else pairs
    sample = random.Random(0).sample(GRID, 2 * repeats)
    differences: list[float] = []
    ours_edited: dict[tuple[str, int], Tensor] = {}

    def ours(repeat: int) -> float:
        compared = {recipe.name for recipe in sample[2 * repeat : 2 * repeat + 2]}
        ours_edited.clear()
        start = perf_counter()
        for name, index, weight in our_surgery(pairs, GRID):
            if name in compared:
                ours_edited[name, index] = weight
        return perf_counter() - start

    def baseline(repeat: int) -> float:
        seconds = 0.0
        for recipe in sample[2 * repeat : 2 * repeat + 2]:
            for index, (donor, patient) in enumerate(pairs):
                start = perf_counter()
                published = published_surgery(recipe, donor, patient)
                seconds += perf_counter() - start
                differences.append(difference(ours_edited[recipe.name, index], published, patient))
        return seconds * len(GRID) / 2

    ours_seconds, baseline_seconds = alternate(ours, baseline, repeats)
    rows, columns = pairs[0][0].shape
    return Comparison(
        name=f"surgery, {len(GRID)} recipes on {len(pairs)} matrices {rows} x {columns}",
        baseline="published algorithm on 2 recipes, scaled",
        unit="grid",
        target=TARGET,
        ours_seconds=ours_seconds,
        baseline_seconds=baseline_seconds,
        equal=max(differences) <= TOLERANCE,
        checked=f"edits of {len(sample)} recipes differ by at most {max(differences):.1e} "
        f"of their norm (bound {TOLERANCE:g})",
    )


if __name__ == "__main__":
    show(compare())
