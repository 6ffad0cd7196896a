# SPDX-License-Identifier: MIT
"""Which side errs where the streamed weight and the published one differ.

At the edge of a band two singular values can nearly coincide. A decomposition in float32 then mixes
their vectors, of which the edit takes one and leaves the other: the published weight is then off by
up to 1e-4 of its norm, on SmolLM2 one weight in thirty by more than 1e-5. The same algorithm in
float64 does not mix them, and is what both ways are held against.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from published_surgery import edited_weight
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.models.shards import open_shards
from derotate.spectral.decompose import factorise
from derotate.spectral.grid import streamed_grid
from derotate.surgery.edits import part_of


def worst_from_exact(
    donor: Path, patient: Path, questioned: Iterable[tuple[Recipe, str]]
) -> tuple[float, float]:
    """Largest distances of ours and of the published weight from the exact one, for some weights.

    Args:
        donor: directory of a checkpoint.
        patient: of the same model.
        questioned: recipe and tensor name of each weight.

    Returns:
        Frobenius norms relative to the patient's weight: of ours, of the published in float32.
    """
    before, after = open_shards(donor), open_shards(patient)
    ours, theirs = 0.0, 0.0
    for recipe, name in questioned:
        sides = before[name], after[name]
        exact = edited_weight(recipe, *(side.double() for side in sides))
        scale = float(sides[1].double().norm())
        ours = max(ours, float((_streamed(recipe, name, *sides) - exact).norm()) / scale)
        published = edited_weight(recipe, *(side.float() for side in sides))
        theirs = max(theirs, float((published - exact).norm()) / scale)
    return ours, theirs


def _streamed(recipe: Recipe, name: str, donor: Tensor, patient: Tensor) -> Tensor:
    """The weight [out, in] as a process of the benchmark makes it, float32."""
    whole = torch.empty(patient.shape)
    for step in streamed_grid([recipe], name, donor, patient, factorise):
        part_of(whole, step.rows).copy_(step.weight)
    return whole
