# SPDX-License-Identifier: MIT
"""All guards on one checkpoint of any size, with or without one that it was trained from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.models.checkpoint import CheckpointError
from derotate.models.compatibility import module_names, require_same_model
from derotate.models.shards import Shards, open_shards, require_finite
from derotate.spectral.decompose import singular_values, tall
from derotate.spectral.guards import Measured, law_distance, relative_change


@dataclass(frozen=True, eq=False)
class Whole:
    """A checkpoint that fills its model with finite weights.

    Attributes:
        shards: its tensors.
        before: those of the checkpoint it was trained from, if known.
        names: of its projection matrices, in the order in which they are stored.
    """

    shards: Shards
    before: Shards | None
    names: tuple[str, ...]

    def measured(self, name: str, values: Tensor) -> Measured:
        """What the guards see of a matrix with these singular values."""
        weight = self.shards[name]
        change = relative_change(self.before[name], weight) if self.before else float("nan")
        shape = (weight.shape[0], weight.shape[1])
        return Measured(name, shape, law_distance(weight, values), change)


def open_whole(checkpoint: Path, reference: Path | None) -> Whole:
    """Open a checkpoint, and what it was trained from, behind all refusals but those of spectra.

    Raises:
        CheckpointError: one line; see `open_shards`, `module_names`, `require_finite` and, with a
            reference, `require_same_model`; or none of its tensors is a projection matrix.
    """
    shards = open_shards(checkpoint)
    before = open_shards(reference) if reference else None
    if before is not None:
        require_same_model(before, shards)
        require_finite(before)
    module_names(shards)
    require_finite(shards)
    names = projections(shards)
    if not names:
        raise CheckpointError(
            f"{checkpoint}: none of {len(shards)} tensors is a projection matrix of a Llama or "
            "Qwen2, expected e.g. model.layers.0.self_attn.q_proj.weight"
        )
    return Whole(shards, before, tuple(names))


def projections(tensor_names: Iterable[str]) -> list[str]:
    """Those of the names that are matrices which a recipe edits when it names none."""
    kinds = {name: matrix_kind(name) for name in tensor_names}
    return [name for name, kind in kinds.items() if kind and kind[1] in DEFAULT_KINDS]


def inspect(checkpoint: Path, reference: Path | None) -> Iterator[Measured]:
    """Check a checkpoint as `open_whole` does, then measure each matrix by its values alone.

    Args:
        checkpoint: its directory.
        reference: directory of the checkpoint it was trained from, if known.

    Yields:
        What the guards measure of each projection matrix, in the order in which they are stored.

    Raises:
        CheckpointError: see `open_whole`.
    """
    whole = open_whole(checkpoint, reference)
    for name in whole.names:
        yield whole.measured(name, singular_values(tall(whole.shards[name])))
