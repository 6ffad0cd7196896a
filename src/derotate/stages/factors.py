# SPDX-License-Identifier: MIT
"""The cached singular value decompositions of a checkpoint, behind the guards."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from derotate import checkpoints
from derotate.reporting.files import write
from derotate.spectral.guards import GuardError, failures, measure
from derotate.spectral.matrices import DEFAULT_KINDS, matrix_kind
from derotate.spectral.svd import factorise, save_factors

if TYPE_CHECKING:
    from derotate.settings import Guards


def factorise_checkpoint(
    checkpoint: Path, reference: Path | None, guards: Guards, out: Path, guard_table: Path
) -> None:
    """Decompose the projection matrices of a checkpoint once.

    Args:
        checkpoint: the model directory.
        reference: the base it was trained from; None for the base itself.
        guards: thresholds, and whether a failed guard refuses or warns.
        out: safetensors file of the factors.
        guard_table: CSV of what the guards measured, one row a matrix.

    Raises:
        GuardError: a guard fails and `guards.action` is refuse.
    """
    state = checkpoints.load_state(checkpoint)
    kinds = {name: matrix_kind(name) for name in sorted(state)}
    names = [name for name, kind in kinds.items() if kind and kind[1] in DEFAULT_KINDS]
    factors = {name: factorise(state[name]) for name in names}
    before = checkpoints.load_state(reference) if reference else None
    table = measure(factors, state, before)
    failed = failures(str(checkpoint), table, guards)
    if failed and guards.action == "refuse":
        raise GuardError("\n".join(failed))
    for line in failed:
        logging.warning(line)
    write(table, guard_table)
    save_factors(out, factors)
