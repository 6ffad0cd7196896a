# SPDX-License-Identifier: MIT
"""A surgery variant that is nowhere but in a loaded model: its parameters are set, one at a time.

Beside the model no more is held than one matrix needs. The edit is made in float32 or better and
cast to the type of the parameter, as it is when the variant is written as a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from derotate.config.matrix_kinds import matrix_kind
from derotate.config.recipes import Recipe
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import Operands
from derotate.spectral.decompose import part_of, tall
from derotate.spectral.factor_sources import Sources
from derotate.surgery.apply import changes, names_to_edit
from derotate.surgery.edits import Change, edited_blocks


def set_variant(
    model: Any, pair: Operands, recipe: Recipe, sources: Sources, amount: float | None = None
) -> float:
    """Make of the loaded patient, or of a variant of it, the variant of a recipe, in place.

    Matrices that the recipe does not edit are set to the patient's, whatever they were before.

    Args:
        model: of the class in the patient's config.json, loaded from it.
        pair: donor and patient.
        recipe: what to do.
        sources: of the factors.
        amount: of a matched interpolation.

    Returns:
        The Frobenius norm of the edit over all edited matrices.

    Raises:
        CheckpointError: the model is not that of the patient, or the recipe does not fit it.
    """
    parameters = matrix_parameters(model, pair)
    edited = set(names_to_edit(recipe, pair))
    square = 0.0
    with torch.no_grad():
        for name in parameters.keys() - edited:
            parameters[name].copy_(pair.patient[name])
        for name, change in changes(recipe, pair, sources, amount):
            square += _apply(change, pair.patient[name], parameters[name])
            # freed before the next matrix is worked on
            del change
    return square**0.5


def distance_from_donor(model: Any, pair: Operands, recipe: Recipe) -> float:
    """||W' - W_b||_F over the matrices that the recipe edits, W' as it is in the model."""
    parameters = matrix_parameters(model, pair)
    square = 0.0
    for name in names_to_edit(recipe, pair):
        donor, own = pair.donor[name], parameters[name].detach()
        for rows in tall(donor).blocks():
            here = part_of(own, rows).to("cpu", torch.float64)
            square += float((here - part_of(donor, rows).to(torch.float64)).square().sum())
    return math.sqrt(square)


def matrix_parameters(model: Any, pair: Operands) -> Mapping[str, Tensor]:
    """Tensor name -> parameter of the model, for each matrix that a recipe can edit.

    Raises:
        CheckpointError: the model has no such parameter.
    """
    known = dict(model.named_parameters(remove_duplicate=False))
    names = [name for name in pair.patient if matrix_kind(name)]
    for name in names:
        if pair.parameters[name] not in known:
            raise CheckpointError(
                f"{pair.patient.directory}: {type(model).__name__} has no parameter "
                f"{pair.parameters[name]} for tensor {name}, expected the class in config.json; "
                "load the patient by that class"
            )
    return {name: known[pair.parameters[name]] for name in names}


def _apply(change: Change, weight: Tensor, parameter: Tensor) -> float:
    """Set a parameter to W + delta; the square of the norm of delta."""
    square = 0.0
    for rows, step, new in edited_blocks(change, weight):
        part_of(parameter, rows).copy_(new)
        square += float(step.to(torch.float64).square().sum())
    return square
