# SPDX-License-Identifier: MIT
"""All guards on one checkpoint of any size, with or without the checkpoint it was trained from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.models.checkpoint import CheckpointError
from derotate.models.compatibility import module_names, require_same_model
from derotate.models.shards import Shards, open_shards, require_finite
from derotate.spectral.decompose import singular_values, tall_view
from derotate.spectral.guards import Measured, law_distance, relative_change


@dataclass(frozen=True, eq=False)
class CompleteCheckpoint:
    """A checkpoint with finite weights for every parameter of its model.

    Attributes:
        shards: its tensors.
        reference: tensors of the checkpoint it was trained from, if known.
        names: of its projection matrices, in stored order.
    """

    shards: Shards
    reference: Shards | None
    names: tuple[str, ...]

    def measure(self, name: str, values: Tensor) -> Measured:
        """Guard measurements of a matrix with these singular values [rank]."""
        weight = self.shards[name]
        change = relative_change(self.reference[name], weight) if self.reference else float("nan")
        shape = (weight.shape[0], weight.shape[1])
        return Measured(name, shape, law_distance(weight, values), change)


def open_complete(checkpoint: Path, reference: Path | None) -> CompleteCheckpoint:
    """Open a checkpoint and its reference, checked in all respects except spectra.

    Raises:
        CheckpointError: one line; see `open_shards`, `module_names`, `require_finite` and, with a
            reference, `require_same_model`; or none of its tensors is a projection matrix.
    """
    shards = open_shards(checkpoint)
    base = open_shards(reference) if reference else None
    if base is not None:
        require_same_model(base, shards)
        require_finite(base)
    module_names(shards)
    require_finite(shards)
    names = projections(shards)
    if not names:
        raise CheckpointError(
            f"{checkpoint}: none of {len(shards)} tensors is a projection matrix of a Llama or "
            "Qwen2, expected e.g. model.layers.0.self_attn.q_proj.weight"
        )
    return CompleteCheckpoint(shards, base, tuple(names))


def projections(tensor_names: Iterable[str]) -> list[str]:
    """Names of the projection matrices: what a recipe edits by default."""
    kinds = {name: matrix_kind(name) for name in tensor_names}
    return [name for name, kind in kinds.items() if kind and kind[1] in DEFAULT_KINDS]


def inspect(checkpoint: Path, reference: Path | None) -> Iterator[Measured]:
    """Check a checkpoint as `open_complete` does, then measure each matrix without its vectors.

    Args:
        checkpoint: its directory.
        reference: directory of the checkpoint it was trained from, if known.

    Yields:
        Guard measurements of each projection matrix, in stored order.

    Raises:
        CheckpointError: see `open_complete`.
    """
    complete = open_complete(checkpoint, reference)
    for name in complete.names:
        yield complete.measure(name, singular_values(tall_view(complete.shards[name])))
