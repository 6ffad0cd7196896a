# SPDX-License-Identifier: MIT
"""Errors of our edited weights and of the published ones against the algorithm in float64.

Two singular values at the edge of a band can nearly coincide. A float32 decomposition then mixes
their vectors, of which the edit takes one and leaves the other. The published weight is then off by
up to 1e-4 of its norm, on SmolLM2 one weight in thirty by more than 1e-5. In float64 the same
algorithm does not mix them, so it is the reference for both.
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
from derotate.surgery.edits import streamed_change
from derotate.surgery.in_memory import apply_change


def worst_from_exact(
    donor: Path, patient: Path, weights: Iterable[tuple[Recipe, str]]
) -> tuple[float, float]:
    """Largest errors of our edited weights and of the published float32 ones.

    Args:
        donor: directory of a checkpoint.
        patient: directory of a checkpoint of the same model.
        weights: recipe and tensor name of each weight.

    Returns:
        Frobenius norms relative to the patient's weight: ours, published.
    """
    before, after = open_shards(donor), open_shards(patient)
    ours, theirs = 0.0, 0.0
    for recipe, name in weights:
        sides = before[name], after[name]
        exact = edited_weight(recipe, *(side.double() for side in sides))
        scale = float(sides[1].double().norm())
        ours = max(ours, float((_edited(recipe, name, *sides) - exact).norm()) / scale)
        published = edited_weight(recipe, *(side.float() for side in sides))
        theirs = max(theirs, float((published - exact).norm()) / scale)
    return ours, theirs


def _edited(recipe: Recipe, name: str, donor: Tensor, patient: Tensor) -> Tensor:
    """Our edited weight [out, in], float32."""
    edited = torch.empty(patient.shape)
    apply_change(streamed_change(recipe, name, donor, patient, factorise), patient, edited)
    return edited
