# SPDX-License-Identifier: MIT
"""All guards on one checkpoint of any size, with or without one that it was trained from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from derotate.checkpoints import CheckpointError
from derotate.spectral.matrices import DEFAULT_KINDS, matrix_kind
from derotate.spectral.stream import singular_values, tall
from derotate.weights.compatible import module_names, require_same_model
from derotate.weights.guards import Measured, law_distance, relative_change
from derotate.weights.shards import Shards, open_shards, require_finite


def inspect(checkpoint: Path, reference: Path | None) -> Iterator[Measured]:
    """Check that a checkpoint fills its model with finite weights, then measure each matrix.

    Args:
        checkpoint: its directory.
        reference: directory of the checkpoint it was trained from, if known.

    Yields:
        What the guards measure of each projection matrix, in the order in which they are stored.

    Raises:
        CheckpointError: one line; see `open_shards`, `module_names`, `require_finite` and, with a
            reference, `require_same_model`.
    """
    shards = open_shards(checkpoint)
    before = open_shards(reference) if reference else None
    if before is not None:
        require_same_model(before, shards)
        require_finite(before)
    module_names(shards)
    require_finite(shards)
    names = [name for name in shards if (kind := matrix_kind(name)) and kind[1] in DEFAULT_KINDS]
    if not names:
        raise CheckpointError(
            f"{checkpoint}: none of {len(shards)} tensors is a projection matrix of a Llama or "
            "Qwen2, expected e.g. model.layers.0.self_attn.q_proj.weight"
        )
    for name in names:
        yield _measure(name, shards, before)


def _measure(name: str, shards: Shards, before: Shards | None) -> Measured:
    weight = shards[name]
    distance = law_distance(weight, singular_values(tall(weight)))
    change = float("nan") if before is None else relative_change(before[name], weight)
    return Measured(name, (weight.shape[0], weight.shape[1]), distance, change)
