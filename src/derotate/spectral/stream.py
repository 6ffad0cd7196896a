# SPDX-License-Identifier: MIT
"""Exact factors of a matrix that is read in blocks, without a float64 copy of it.

In float64 the Gram matrix of the short side is precise enough for weights and two to four times
faster than a direct decomposition (knowledge/performance.md, "SVD methods"); in float32 it is
wrong, and so are randomised methods on the flat spectra of weights. The Gram matrix squares the
condition number, so each result is probed, and a matrix on which it fails is decomposed directly.

Only one of the matrices need fit the memory. With T its float64 bytes and S those of its short side
squared, at most max(3/2 T + 5/2 S, 4 S) is held beside the blocks for float32 factors: under 3 T
where the longer side is 5/3 of the shorter or more, as in every MLP, and 4 T for a square matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.linalg import svd
from torch import Tensor

from derotate.spectral.svd import ERROR_BOUND, PROBES, Factors

BLOCK = 1 << 20
"""Numbers of a block: 8 MB of float64. Products run at full speed from there on; sums and casts
take a half of the time that they take in blocks of 32 MB, which no cache holds."""

Routine = Literal["gram", "gesdd"]

MEASURED: tuple[tuple[int, int, float, float], ...] = (
    (192, 576, 2.2, 6.4),
    (576, 576, 24.8, 36.8),
    (576, 1536, 35.7, 76.7),
    (576, 49152, 722.0, 2070.0),
)
"""Short side, long side, milliseconds of gram and of gesdd, both in float64 (torch with MKL on two
cores, knowledge/performance.md, "SVD methods"). The randomised routine is not in the table: on the
flat spectra of weights it is wrong by tens of per cent."""


@dataclass(frozen=True)
class Tall:
    """A matrix seen with its longer side down, so that blocks are always rows.

    Attributes:
        shape: (out, in) of the matrix as stored.
        read: rows of the tall view -> float64 [rows, short side].
    """

    shape: tuple[int, int]
    read: Callable[[slice], Tensor]

    @property
    def wide(self) -> bool:
        """Whether the tall view is the transpose of the matrix."""
        return self.shape[0] < self.shape[1]

    def blocks(self) -> Iterator[slice]:
        """Slices of the longer side, of `BLOCK` numbers each."""
        short, long = sorted(self.shape)
        rows = max(1, BLOCK // short)
        return (slice(start, min(start + rows, long)) for start in range(0, long, rows))


def tall(weight: Tensor) -> Tall:
    """The tall view of a weight [out, in] of any type, memory-mapped or not."""
    shape = _matrix_shape(weight)
    if shape[0] < shape[1]:
        return Tall(shape, lambda rows: weight[:, rows].T.to(torch.float64))
    return Tall(shape, lambda rows: weight[rows].to(torch.float64))


def tall_difference(weight: Tensor, other: Tensor) -> Tall:
    """The tall view of `weight - other`, [out, in] each, subtracted in float64."""
    first, second = tall(weight), tall(other)
    return Tall(first.shape, lambda rows: first.read(rows) - second.read(rows))


def part_of(matrix: Tensor, rows: slice) -> Tensor:
    """The rows of a matrix [out, in], or the columns if it is wide: a view, in its orientation."""
    return matrix[:, rows] if matrix.shape[0] < matrix.shape[1] else matrix[rows]


def fastest(shape: tuple[int, int]) -> Routine:
    """The routine that was faster on the measured shape nearest to this one."""
    short, long = sorted(shape)

    def distance(row: tuple[int, int, float, float]) -> float:
        return math.hypot(math.log(row[0] / short), math.log(row[1] / long))

    _, _, gram, gesdd = min(MEASURED, key=distance)
    return "gram" if gram <= gesdd else "gesdd"


def factorise_streamed(
    matrix: Tall, dtype: torch.dtype = torch.float32, routine: Routine | None = None
) -> Factors:
    """Thin SVD, computed in float64 and returned in `dtype`; signs as `svd.factorise` says.

    Args:
        matrix: what is decomposed.
        dtype: of the factors.
        routine: by default the fastest for the shape; gram falls back to gesdd if its probed error
            is above `ERROR_BOUND`.

    Raises:
        ValueError: not finite.
        ArithmeticError: no routine reached the bound.
    """
    if (routine or fastest(matrix.shape)) == "gram":
        far, values, near = _by_gram(matrix)
        # `not <=` so that NaN, from dividing by a zero singular value, counts as failure
        if _error(matrix, far, values, near) <= ERROR_BOUND:
            return _signed(matrix, far, values, near, dtype)
        del far, values, near
    far, values, near = _by_gesdd(matrix)
    error = _error(matrix, far, values, near)
    if not error <= ERROR_BOUND:
        raise ArithmeticError(
            f"singular value decomposition is off by {error:.1e}, expected at most "
            f"{ERROR_BOUND:.0e}; check the weight and the BLAS library"
        )
    return _signed(matrix, far, values, near, dtype)


def singular_values(matrix: Tall) -> Tensor:
    """All singular values, float64, descending: roots of the Gram matrix's eigenvalues.

    Right to 1e-8 of the largest, which is enough for a distribution and not for surgery.
    """
    return torch.linalg.eigvalsh(_gram(matrix)).clamp_min(0.0).sqrt().flip(0)


def _matrix_shape(weight: Tensor) -> tuple[int, int]:
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"weight has shape {list(weight.shape)}, expected a matrix [out, in]")
    return weight.shape[0], weight.shape[1]


def _gram(matrix: Tall) -> Tensor:
    short = min(matrix.shape)
    gram = torch.zeros(short, short, dtype=torch.float64)
    for rows in matrix.blocks():
        block = matrix.read(rows)
        gram.addmm_(block.T, block)
    if not bool(torch.isfinite(gram).all()):
        raise ValueError("weight has entries that are not finite, expected numbers")
    return gram


def _by_gram(matrix: Tall) -> tuple[Tensor, Tensor, Tensor]:
    """Far side [long, short], values [short] and near side [short, short], not yet signed."""
    near = torch.linalg.eigh(_gram(matrix)).eigenvectors
    far = torch.empty(max(matrix.shape), near.shape[0], dtype=torch.float64)
    squares = torch.zeros(near.shape[0], dtype=torch.float64)
    for rows in matrix.blocks():
        image = far[rows]
        torch.mm(matrix.read(rows), near, out=image)
        squares += image.square().sum(dim=0)
    # The norm of the image is more precise than the root of an eigenvalue where that is small.
    values, order = squares.sqrt().sort(descending=True, stable=True)
    for rows in matrix.blocks():
        far[rows] = far[rows][:, order] / values
    return far, values, near[:, order]


def _by_gesdd(matrix: Tall) -> tuple[Tensor, Tensor, Tensor]:
    """The same by LAPACK's divide and conquer, which overwrites its input to save memory."""
    short, long = sorted(matrix.shape)
    whole = torch.empty(short, long, dtype=torch.float64).T  # column-major, as LAPACK takes it
    for rows in matrix.blocks():
        whole[rows] = matrix.read(rows)
    far, values, near = svd(whole.numpy(), full_matrices=False, overwrite_a=True,
                            lapack_driver="gesdd")  # fmt: skip
    return torch.from_numpy(far), torch.from_numpy(values), torch.from_numpy(near).T


def _error(matrix: Tall, far: Tensor, values: Tensor, near: Tensor) -> float:
    """Largest error, seen by random vectors, of both orthonormal sides and of the product."""
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(values.shape[0], PROBES, dtype=torch.float64, generator=generator)
    seen = values[:, None] * (near.T @ probes)
    largest = values.max().clamp_min(torch.finfo(torch.float64).tiny)
    errors = [near.T @ (near @ probes) - probes, far.T @ (far @ probes) - probes]
    errors += [(matrix.read(r) @ probes - far[r] @ seen) / largest for r in matrix.blocks()]
    # `max` of tensors, unlike that of numbers, passes NaN on
    return float(torch.stack([error.abs().max() for error in errors]).max())


def _signed(matrix: Tall, far: Tensor, values: Tensor, near: Tensor, dtype: torch.dtype) -> Factors:
    """Factors of the stored matrix; the largest entry of each column of u is positive."""
    left = near if matrix.wide else far
    peak = torch.zeros(values.shape[0], dtype=torch.float64)
    for block in left.split(max(1, BLOCK // left.shape[1])):
        best = block.gather(0, block.abs().argmax(dim=0, keepdim=True))[0]
        peak = torch.where(best.abs() > peak.abs(), best, peak)
    sign = torch.where(peak < 0, -1.0, 1.0).to(torch.float64)
    # in place, so that only one copy of another type is made
    far, near = far.mul_(sign), near * sign
    far, near = far.to(dtype).contiguous(), near.to(dtype).contiguous()
    values = values.to(dtype).contiguous()
    return Factors(near, values, far) if matrix.wide else Factors(far, values, near)
