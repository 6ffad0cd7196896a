# SPDX-License-Identifier: MIT
"""A cache of factors on disk, keyed by the hash of the weight.

Checkpoints can share a folder, and an edited weight is never taken for the original. Factors that
are read are memory-mapped.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from derotate.spectral.decompose import factorise_streamed, tall_view
from derotate.spectral.factors import Factors, load_factors, save_factors

HASHED = 1 << 26
"""Bytes hashed at a time."""
KEY = "weight"


@dataclass(frozen=True)
class FactorCache:
    """A folder of factors, one file per weight and dtype.

    Attributes:
        folder: created on first use.
        dtype: of the factors; they are computed in float64.
    """

    folder: Path
    dtype: torch.dtype = torch.float32

    def factors(self, weight: Tensor) -> Factors:
        """The factors of a weight [out, in], memory-mapped; decomposed if they are not cached."""
        self.folder.mkdir(parents=True, exist_ok=True)
        precision = str(self.dtype).removeprefix("torch.")
        path = self.folder / f"{_digest(weight)}-{precision}.safetensors"
        if not path.is_file():
            save_factors(path, {KEY: factorise_streamed(tall_view(weight), self.dtype)})
        return load_factors(path)[KEY]


@contextmanager
def opened_cache(
    folder: Path | None, temporary: Path, dtype: torch.dtype = torch.float32
) -> Iterator[FactorCache]:
    """A permanent cache in `folder`, or without one a cache in `temporary`, removed at the end.

    The factors of all matrices take twice the disk space of the model.
    """
    try:
        yield FactorCache(folder or temporary, dtype)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _digest(weight: Tensor) -> str:
    """SHA-256 of dtype, shape and bytes."""
    # The bytes alone are ambiguous: a transposed or reinterpreted weight can have the same.
    digest = hashlib.sha256(f"{weight.dtype} {list(weight.shape)}".encode())
    for block in weight.contiguous().reshape(-1).view(torch.uint8).split(HASHED):
        digest.update(block.numpy())
    return digest.hexdigest()
