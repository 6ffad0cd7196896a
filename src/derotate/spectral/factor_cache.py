# SPDX-License-Identifier: MIT
"""Factors of weights kept on disk, found again by the bytes of the weight.

Two checkpoints share a folder without a name of their own, an edited weight is never taken for the
one before, and what is read is memory-mapped.
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

from derotate.spectral.decompose import factorise_streamed, tall
from derotate.spectral.factors import Factors, load_factors, save_factors

HASHED = 1 << 26
KEY = "weight"


@dataclass(frozen=True)
class FactorCache:
    """A folder of factors, one file a weight and precision.

    Attributes:
        folder: made if it is not there.
        dtype: of the factors; they are computed in float64.
    """

    folder: Path
    dtype: torch.dtype = torch.float32

    def factors(self, weight: Tensor) -> Factors:
        """The factors of a weight [out, in], memory-mapped; decomposed if they are not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        precision = str(self.dtype).removeprefix("torch.")
        path = self.folder / f"{_digest(weight)}-{precision}.safetensors"
        if not path.is_file():
            save_factors(path, {KEY: factorise_streamed(tall(weight), self.dtype)})
        return load_factors(path)[KEY]


@contextmanager
def opened_cache(
    kept: Path | None, passing: Path, dtype: torch.dtype = torch.float32
) -> Iterator[FactorCache]:
    """A cache that is kept, or one in `passing` that is removed with the matrix it was opened for.

    All factors of a model take twice its space on disk.
    """
    try:
        yield FactorCache(kept or passing, dtype)
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def _digest(weight: Tensor) -> str:
    """SHA-256 of type, shape and bytes."""
    found = hashlib.sha256(f"{weight.dtype} {list(weight.shape)}".encode())
    for block in weight.contiguous().reshape(-1).view(torch.uint8).split(HASHED):
        found.update(block.numpy())
    return found.hexdigest()
