# SPDX-License-Identifier: MIT
"""The factors (SVD) of a checkpoint's matrices, computed once and guarded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from derotate.files.atomic import atomic_write
from derotate.files.tables import write
from derotate.spectral.factor_file import write_factors
from derotate.spectral.guards import refuse_or_warn
from derotate.spectral.inspect_checkpoint import open_complete

if TYPE_CHECKING:
    from derotate.config.surgery import Guards


def factorise_checkpoint(
    checkpoint: Path,
    reference: Path | None,
    guards: Guards,
    out: Path,
    guard_table: Path,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Decompose the projection matrices of a checkpoint, one at a time.

    Args:
        checkpoint: the model directory, of any size.
        reference: the base it was trained from; None for the base itself.
        guards: thresholds, and whether a failed guard refuses or warns.
        out: safetensors file of the factors.
        guard_table: CSV of the guard measurements, one row per matrix.
        dtype: of the factors.

    Raises:
        CheckpointError: the checkpoint does not fill its model with finite weights.
        GuardError: a guard fails and `guards.action` is refuse.
    """
    complete = open_complete(checkpoint, reference)
    with atomic_write(out) as part:
        measured = write_factors(complete, part, dtype)
        refuse_or_warn(str(checkpoint), measured, guards)
        columns = ["matrix", "marchenko_pastur_distance", "relative_change"]
        write(pd.DataFrame([vars(row) for row in measured])[columns], guard_table)
