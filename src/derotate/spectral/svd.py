# SPDX-License-Identifier: MIT
"""Exact thin singular value decomposition of weights, computed once for each matrix and kept.

All surgery and all metrics are cheap products of these factors. In float64 the Gram matrix of the
short side is precise enough for weights and two to four times faster than a direct decomposition
(knowledge/performance.md, "SVD methods"); in float32 it is wrong, and so are randomised methods on
the flat spectra of weights. The Gram matrix squares the condition number, so each result is probed,
and a matrix on which it fails is decomposed directly.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

ERROR_BOUND = 1e-8
"""Largest probed error of orthogonality and of reconstruction (relative to the largest value) in
float64: below the rounding of float32 factors (6e-8), above what healthy weights show (1e-10)."""

PROBES = 8
"""Random vectors in a probe; each sees an error with its full Frobenius norm in expectation."""


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


def factorise(weight: Tensor, dtype: torch.dtype = torch.float32) -> Factors:
    """Thin SVD of `weight` [out, in], computed in float64 and returned in `dtype`.

    The sign of each pair of vectors is fixed: the entry of largest magnitude of a u column is
    positive. Zero and repeated singular values get orthonormal vectors too.

    Raises:
        ValueError: not a matrix, or not finite.
        ArithmeticError: no method reached `ERROR_BOUND`.
    """
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"weight has shape {list(weight.shape)}, expected a matrix [out, in]")
    matrix = weight.detach().to(torch.float64)
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("weight has entries that are not finite, expected numbers")
    factors = _by_gram(matrix)
    # `not <=` so that NaN, from dividing by a zero singular value, counts as failure.
    if not _error(matrix, factors) <= ERROR_BOUND:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        factors = Factors(u, s, vh.T)
        error = _error(matrix, factors)
        if not error <= ERROR_BOUND:
            raise ArithmeticError(
                f"singular value decomposition is off by {error:.1e}, expected at most "
                f"{ERROR_BOUND:.0e}; check the weight and the BLAS library"
            )
    peak = factors.u.gather(0, factors.u.abs().argmax(dim=0, keepdim=True))
    sign = torch.where(peak < 0, -1.0, 1.0).to(torch.float64)
    return Factors(
        (factors.u * sign).to(dtype).contiguous(),
        factors.s.to(dtype).contiguous(),
        (factors.v * sign).to(dtype).contiguous(),
    )


def _by_gram(matrix: Tensor) -> Factors:
    """Factors from the eigenvectors of the Gram matrix of the short side."""
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if wide else matrix
    near = torch.linalg.eigh(tall.T @ tall).eigenvectors
    image = tall @ near
    # The norm of the image is more precise than the root of an eigenvalue where that is small.
    values, order = image.norm(dim=0).sort(descending=True, stable=True)
    near = near[:, order]
    far = image[:, order] / values
    return Factors(near, values, far) if wide else Factors(far, values, near)


def _error(matrix: Tensor, factors: Factors) -> float:
    """Largest error, seen by random vectors, of u^T u = I, v^T v = I and u diag(s) v^T = W."""
    generator = torch.Generator().manual_seed(0)

    def probes(size: int) -> Tensor:
        return torch.randn(size, PROBES, dtype=torch.float64, generator=generator)

    columns = probes(factors.rank)
    inputs = probes(matrix.shape[1])
    rebuilt = factors.u @ (factors.s[:, None] * (factors.v.T @ inputs))
    largest = factors.s.max().clamp_min(torch.finfo(torch.float64).tiny)
    errors = (
        factors.u.T @ (factors.u @ columns) - columns,
        factors.v.T @ (factors.v @ columns) - columns,
        (rebuilt - matrix @ inputs) / largest,
    )
    return float(torch.stack([error.abs().max() for error in errors]).max())


def save_factors(path: str | Path, factors: Mapping[str, Factors]) -> None:
    """Write the factors of many tensors, by tensor name, as one safetensors file.

    Written aside and moved into place, so that a killed run leaves no half-written file.
    """
    path = Path(path)
    aside = path.with_name(path.name + ".part")
    tensors = {
        key: side.contiguous()
        for name, found in factors.items()
        for key, side in zip(factor_keys(name), (found.u, found.s, found.v), strict=True)
    }
    save_file(tensors, aside)
    os.replace(aside, path)


@dataclass(frozen=True, eq=False)
class StoredFactors(Mapping[str, Factors]):
    """The factors in a file by tensor name, sorted.

    An item is memory-mapped and of the type it was written in; it takes no memory until it is used.
    """

    path: Path
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Factors:
        if name not in self.names:
            raise KeyError(name)
        # opened anew: what was read of a map stays in memory until the map is closed
        with safe_open(self.path, framework="pt") as file:
            return Factors(*(file.get_tensor(key) for key in factor_keys(name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def factor_keys(name: str) -> tuple[str, str, str]:
    """Under which keys the u, s and v of a tensor are stored."""
    return f"{name}.u", f"{name}.s", f"{name}.v"


def load_factors(path: str | Path) -> StoredFactors:
    """Open what `save_factors` wrote: tensor name -> factors, sorted by name."""
    with safe_open(path, framework="pt") as file:
        keys = list(file.keys())
    names = sorted(key.removesuffix(".s") for key in keys if key.endswith(".s"))
    return StoredFactors(Path(path), tuple(names))
