# SPDX-License-Identifier: MIT
"""The factors of a whole checkpoint in one file, made and written matrix by matrix.

One file for a checkpoint, not a folder of them: it is what a rule declares, it appears whole or not
at all, and since it is memory-mapped a reader holds no more than the matrix it works on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch

from derotate.models.shard_writer import Entry, as_tensor, file_size, lay_out, require_room
from derotate.spectral.decompose import factorise_streamed, tall
from derotate.spectral.factors import factor_keys
from derotate.spectral.guards import Measured
from derotate.spectral.inspect_checkpoint import Whole

STORED: dict[torch.dtype, str] = {torch.float32: "F32", torch.float64: "F64"}
"""Types that factors are kept in, in the words of the format. Shorter ones are not offered: bases
in 16 bits are orthonormal to three digits, and small angles between them are lost."""


def write_factors(whole: Whole, out: Path, dtype: torch.dtype) -> list[Measured]:
    """Decompose the projection matrices of a checkpoint into a new file that `load_factors` opens.

    Args:
        whole: the checkpoint.
        out: the file; what stands in it before the end is not whole.
        dtype: of the factors, float32 or float64; they are computed in float64.

    Returns:
        What the guards see of each matrix, in order of name.

    Raises:
        CheckpointError: there is no room for the file.
    """
    names = sorted(whole.names)
    entries = {
        key: entry
        for name in names
        for key, entry in zip(
            factor_keys(name), _entries(whole.shards.places[name].shape, dtype), strict=True
        )
    }
    require_room(out.parent, file_size(entries))
    slots = lay_out(out, entries)
    measured = []
    for name in names:
        factors = factorise_streamed(tall(whole.shards[name]), dtype)
        for key, side in zip(factor_keys(name), (factors.u, factors.s, factors.v), strict=True):
            as_tensor(slots[key].data(), dtype, entries[key].shape).copy_(side)
        measured.append(whole.measured(name, factors.s.clone()))
        # freed before the next matrix is decomposed
        del factors, side
    return measured


def _entries(shape: tuple[int, ...], dtype: torch.dtype) -> Iterable[Entry]:
    """Of u [out, rank], s [rank] and v [in, rank]."""
    rank = min(shape)
    for sizes in ((shape[0], rank), (rank,), (shape[1], rank)):
        yield Entry(STORED[dtype], sizes, dtype.itemsize * math.prod(sizes))
