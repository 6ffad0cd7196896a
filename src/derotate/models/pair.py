# SPDX-License-Identifier: MIT
"""Donor and patient: two checkpoints of one model, opened together, of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from derotate.models.compatibility import module_names, require_same_model
from derotate.models.shards import Shards, open_shards, require_finite


@dataclass(frozen=True, eq=False)
class CheckpointPair:
    """Donor and patient, checked to be two checkpoints of one model.

    Attributes:
        donor: the checkpoint that components are copied from.
        patient: the checkpoint that is edited.
    """

    donor: Shards
    patient: Shards

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """Tensor name -> name of the parameter that it is loaded into.

        Raises:
            CheckpointError: see `module_names`.
        """
        return module_names(self.patient)


def open_compatible(donor: Path, patient: Path) -> CheckpointPair:
    """Open two checkpoints of one model whose values were checked before.

    Raises:
        CheckpointError: one line; see `open_shards` and `require_same_model`.
    """
    sides = open_shards(donor), open_shards(patient)
    require_same_model(*sides)
    return CheckpointPair(*sides)


def open_finite(donor: Path, patient: Path) -> CheckpointPair:
    """Open two checkpoints of one model and check that all values are finite.

    Raises:
        CheckpointError: one line; see `open_compatible` and `require_finite`.
    """
    pair = open_compatible(donor, patient)
    for side in (pair.donor, pair.patient):
        require_finite(side)
    return pair


def open_pair(donor: Path, patient: Path) -> CheckpointPair:
    """Open donor and patient with all checks that need no decomposition.

    Raises:
        CheckpointError: one line; see `open_finite` and `module_names`.
    """
    pair = open_finite(donor, patient)
    # raises on tensors that the model would not load
    _ = pair.parameters
    return pair
