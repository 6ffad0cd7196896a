# SPDX-License-Identifier: MIT
"""A surgery variant in a loaded model: its parameters are set one matrix at a time.

Beside the model, memory holds what one matrix needs. An edit is computed in float32 or better and
cast to the dtype of the parameter, as in a variant that is written as a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from derotate.config.matrix_kinds import matrix_kind
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import CheckpointPair
from derotate.spectral.decompose import block_of, tall_view
from derotate.surgery.apply import Surgery
from derotate.surgery.edits import Change, edited_blocks


def set_variant(model: Any, surgery: Surgery, amount: float | None = None) -> float:
    """Set the parameters of the loaded patient to a variant, in place.

    Matrices that the recipe does not edit are reset to the patient's, so the model may hold another
    variant before.

    Args:
        model: loaded from the patient's directory, of the class in its config.json.
        surgery: the recipe on its pair.
        amount: of a matched interpolation, in place of `recipe.amount`.

    Returns:
        Frobenius norm of the edit over all edited matrices.

    Raises:
        CheckpointError: the model has other parameters than the patient.
    """
    pair = surgery.pair
    parameters = matrix_parameters(model, pair)
    square = 0.0
    with torch.no_grad():
        for name in parameters.keys() - set(surgery.names):
            parameters[name].copy_(pair.patient[name])
        for name, change in surgery.changes(amount):
            square += apply_change(change, pair.patient[name], parameters[name])
            # Freed before the next matrix is edited.
            del change
    return square**0.5


def distance_from_donor(model: Any, surgery: Surgery) -> float:
    """||W' - W_b||_F over the edited matrices, W' the parameters of the model."""
    parameters = matrix_parameters(model, surgery.pair)
    square = 0.0
    for name in surgery.names:
        donor, parameter = surgery.pair.donor[name], parameters[name].detach()
        for rows in tall_view(donor).blocks():
            edited = block_of(parameter, rows).to("cpu", torch.float64)
            square += float((edited - block_of(donor, rows).to(torch.float64)).square().sum())
    return math.sqrt(square)


def matrix_parameters(model: Any, pair: CheckpointPair) -> Mapping[str, Tensor]:
    """Tensor name -> parameter of the model, for each matrix that a recipe can edit.

    Raises:
        CheckpointError: the model has no such parameter.
    """
    # A tied head is the embedding under a second name, which must be found too.
    parameters = dict(model.named_parameters(remove_duplicate=False))
    names = [name for name in pair.patient if matrix_kind(name)]
    for name in names:
        if pair.parameters[name] not in parameters:
            raise CheckpointError(
                f"{pair.patient.directory}: {type(model).__name__} has no parameter "
                f"{pair.parameters[name]} for tensor {name}, expected the class in config.json; "
                "load the patient by that class"
            )
    return {name: parameters[pair.parameters[name]] for name in names}


def apply_change(change: Change, weight: Tensor, parameter: Tensor) -> float:
    """Set a parameter to W + delta, block by block.

    Args:
        change: delta [out, in].
        weight: W [out, in], of the stored dtype, memory-mapped or not.
        parameter: [out, in] of any dtype and device, without gradient.

    Returns:
        ||delta||_F^2.
    """
    square = 0.0
    for rows, delta, edited in edited_blocks(change, weight):
        block_of(parameter, rows).copy_(edited)
        square += float(delta.to(torch.float64).square().sum())
    return square
