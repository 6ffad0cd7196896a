# SPDX-License-Identifier: MIT
"""Factors of a weight (its exact thin SVD), and the safetensors files that store them.

`derotate.spectral.decompose` computes them. All surgery and all spectral metrics are products of
them, so each matrix is decomposed once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from derotate.files.atomic import atomic_write


@dataclass(frozen=True, eq=False)
class Factors:
    """W = u diag(s) v^T with orthonormal columns, s descending.

    Shapes: u [out, rank], s [rank], v [in, rank], rank = min(out, in).
    """

    u: Tensor
    s: Tensor
    v: Tensor

    @property
    def rank(self) -> int:
        """Number of singular values, zeros included: min(out, in)."""
        return self.s.shape[0]

    def matrix(self) -> Tensor:
        """The weight [out, in] that the factors stand for."""
        return (self.u * self.s) @ self.v.T


Decompose = Callable[[Tensor], Factors]
"""Factors of a weight [out, in], computed or read."""


def save_factors(path: str | Path, factors: Mapping[str, Factors]) -> None:
    """Write the factors of many tensors, by tensor name, as one safetensors file; atomic."""
    tensors = {
        key: side.contiguous()
        for name, svd in factors.items()
        for key, side in zip(factor_keys(name), (svd.u, svd.s, svd.v), strict=True)
    }
    with atomic_write(path) as part:
        save_file(tensors, part)


@dataclass(frozen=True, eq=False)
class StoredFactors(Mapping[str, Factors]):
    """The factors in a file by tensor name, sorted.

    An item is memory-mapped, with the dtype it was written in; it takes no memory until it is used.
    """

    path: Path
    names: tuple[str, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the factors, the same for all of a file."""
        return self[self.names[0]].s.dtype

    def __getitem__(self, name: str) -> Factors:
        if name not in self.names:
            raise KeyError(name)
        # Opened for each item: pages read through a map stay resident until the map is closed.
        with safe_open(self.path, framework="pt") as file:
            return Factors(*(file.get_tensor(key) for key in factor_keys(name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def factor_keys(name: str) -> tuple[str, str, str]:
    """Keys of a tensor's u, s and v in the file."""
    return f"{name}.u", f"{name}.s", f"{name}.v"


def load_factors(path: str | Path) -> StoredFactors:
    """Open a file of `save_factors` or `write_factors`: tensor name -> factors, sorted by name."""
    with safe_open(path, framework="pt") as file:
        keys = list(file.keys())
    names = sorted(key.removesuffix(".s") for key in keys if key.endswith(".s"))
    return StoredFactors(Path(path), tuple(names))
