# SPDX-License-Identifier: MIT
"""The factors of a checkpoint in one file, computed and written matrix by matrix.

One file per checkpoint and not a folder: a rule can declare it, and it appears complete or not at
all. It is memory-mapped, so a reader holds only the matrix it works on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch

from derotate.models.shard_writer import Entry, as_tensor, file_size, preallocate, require_room
from derotate.spectral.decompose import factorise_streamed, tall_view
from derotate.spectral.factors import factor_keys
from derotate.spectral.guards import Measured
from derotate.spectral.inspect_checkpoint import CompleteCheckpoint

STORED: dict[torch.dtype, str] = {torch.float32: "F32", torch.float64: "F64"}
"""Dtypes of stored factors, as safetensors names them. 16-bit bases are orthonormal to three digits
only, and small angles between them would be lost."""


def write_factors(checkpoint: CompleteCheckpoint, out: Path, dtype: torch.dtype) -> list[Measured]:
    """Decompose the projection matrices of a checkpoint into a new file for `load_factors`.

    Args:
        checkpoint: the checkpoint.
        out: the file, not written atomically: incomplete until the function returns.
        dtype: of the factors, float32 or float64; they are computed in float64.

    Returns:
        Guard measurements of each matrix, in order of name.

    Raises:
        CheckpointError: not enough disk space for the file.
    """
    names = sorted(checkpoint.names)
    entries = {
        key: entry
        for name in names
        for key, entry in zip(
            factor_keys(name), _entries(checkpoint.shards.places[name].shape, dtype), strict=True
        )
    }
    # Before any decomposition: a full disk kills a process that writes to a memory map.
    require_room(out.parent, file_size(entries))
    slots = preallocate(out, entries)
    measured = []
    for name in names:
        factors = factorise_streamed(tall_view(checkpoint.shards[name]), dtype)
        for key, side in zip(factor_keys(name), (factors.u, factors.s, factors.v), strict=True):
            as_tensor(slots[key].data(), dtype, entries[key].shape).copy_(side)
        measured.append(checkpoint.measure(name, factors.s.clone()))
        # Freed before the next matrix is decomposed.
        del factors, side
    return measured


def _entries(shape: tuple[int, ...], dtype: torch.dtype) -> Iterable[Entry]:
    """File entries of u [out, rank], s [rank] and v [in, rank]."""
    rank = min(shape)
    for sizes in ((shape[0], rank), (rank,), (shape[1], rank)):
        yield Entry(STORED[dtype], sizes, dtype.itemsize * math.prod(sizes))
