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

import numpy as np
import torch
from scipy.linalg import eigh, svd
from scipy.linalg.blas import dsyrk
from torch import Tensor

from derotate.spectral.factors import Factors

ERROR_BOUND = 1e-8
"""Largest probed error of orthogonality and of reconstruction (relative to the largest value) in
float64: below the rounding of float32 factors (6e-8), above what healthy weights show (1e-10)."""

PROBES = 8
"""Random vectors in a probe; each sees an error with its full Frobenius norm in expectation."""

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


def factorise(weight: Tensor, dtype: torch.dtype = torch.float32) -> Factors:
    """Thin SVD of `weight` [out, in], computed in float64 and returned in `dtype`.

    The sign of each pair of vectors is fixed: the entry of largest magnitude of a u column is
    positive. Zero and repeated singular values get orthonormal vectors too.

    Raises:
        ValueError: not a matrix, or not finite.
        ArithmeticError: no routine reached `ERROR_BOUND`.
    """
    return factorise_streamed(tall(weight.detach()), dtype)


def factorise_streamed(
    matrix: Tall, dtype: torch.dtype = torch.float32, routine: Routine | None = None
) -> Factors:
    """Thin SVD, computed in float64 and returned in `dtype`; signs as in `factorise`.

    Args:
        matrix: what is decomposed.
        dtype: of the factors.
        routine: by default the fastest for the shape; gram falls back to gesdd if its probed error
            is above `ERROR_BOUND`.

    Raises:
        ValueError: not finite.
        ArithmeticError: no routine reached the bound.
    """
    matrix = _cast_once(matrix)
    if (routine or fastest(matrix.shape)) == "gram":
        far, values, near = _by_gram(matrix)
        # `not <=` so that NaN, from dividing by a zero singular value, counts as failure
        if _error(matrix, far, values, near) <= ERROR_BOUND:
            return _stored(matrix, far, values, near, dtype)
        del far, values, near
    far, values, near = _by_gesdd(matrix)
    error = _error(matrix, far, values, near)
    if not error <= ERROR_BOUND:
        raise ArithmeticError(
            f"singular value decomposition is off by {error:.1e}, expected at most "
            f"{ERROR_BOUND:.0e}; check the weight and the BLAS library"
        )
    return _stored(matrix, far, values, near, dtype)


def singular_values(matrix: Tall) -> Tensor:
    """All singular values, float64, descending: roots of the Gram matrix's eigenvalues.

    Right to 1e-8 of the largest, which is enough for a distribution and not for surgery.
    """
    return torch.linalg.eigvalsh(_gram(matrix), UPLO="U").clamp_min(0.0).sqrt().flip(0)


def _matrix_shape(weight: Tensor) -> tuple[int, int]:
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"weight has shape {list(weight.shape)}, expected a matrix [out, in]")
    return weight.shape[0], weight.shape[1]


def _cast_once(matrix: Tall) -> Tall:
    """The same view; a matrix of one block is held in float64, as it is passed over three times."""
    if math.prod(matrix.shape) > BLOCK:
        return matrix
    whole = matrix.read(slice(0, max(matrix.shape)))
    return Tall(matrix.shape, lambda rows: whole[rows])


def _gram(matrix: Tall) -> Tensor:
    """Upper triangle of the Gram matrix of the short side; zeros below it.

    Half of a product's work: torch has no symmetric one.
    """
    short = min(matrix.shape)
    gram = np.zeros((short, short), order="F")
    for rows in matrix.blocks():
        block = matrix.read(rows).numpy()
        # whichever of the two orders the block has, LAPACK's is a view of it
        turned = (block.T, 0) if block.flags.c_contiguous else (block, 1)
        gram = dsyrk(1.0, turned[0], trans=turned[1], beta=1.0, c=gram, overwrite_c=True)
    if not bool(np.isfinite(gram).all()):
        raise ValueError("weight has entries that are not finite, expected numbers")
    return torch.from_numpy(gram)


def _by_gram(matrix: Tall) -> tuple[Tensor, Tensor, Tensor]:
    """Far side [long, short], values [short] and near side [short, short], float64, signed."""
    near = _eigenvectors(_gram(matrix)).flip(1)
    far = torch.empty(max(matrix.shape), near.shape[0], dtype=torch.float64)
    squares = torch.zeros(near.shape[0], dtype=torch.float64)
    for rows in matrix.blocks():
        image = far[rows]
        torch.mm(matrix.read(rows), near, out=image)
        squares += image.square().sum(dim=0)
    # The norm of the image is more precise than the root of an eigenvalue where that is small, so
    # that the order of eigenvalues need not be that of the values; it nearly always is.
    values, order = squares.sqrt().sort(descending=True, stable=True)
    if bool((order.diff() == 1).all()):
        sign = _sign(near if matrix.wide else far)
        far /= values * sign
        return far, values, near * sign
    for rows in matrix.blocks():
        far[rows] = far[rows][:, order] / values
    return _signed(matrix, far, values, near[:, order])


def _eigenvectors(gram: Tensor) -> Tensor:
    """Eigenvectors of a matrix [short, short] of which the upper triangle is given, ascending.

    On one thread scipy's OpenBLAS is faster than the MKL in torch (a short side of 576 on two AMD
    machines: 35 against 42 ms, 27 against 41); on two it is not, or is much slower there.
    """
    if torch.get_num_threads() > 1:
        return torch.linalg.eigh(gram, UPLO="U").eigenvectors
    found = eigh(gram.numpy(), lower=False, driver="evd", overwrite_a=True, check_finite=False)
    return torch.from_numpy(found[1])


def _by_gesdd(matrix: Tall) -> tuple[Tensor, Tensor, Tensor]:
    """The same by LAPACK's divide and conquer, which overwrites its input to save memory."""
    short, long = sorted(matrix.shape)
    whole = torch.empty(short, long, dtype=torch.float64).T  # column-major, as LAPACK takes it
    for rows in matrix.blocks():
        whole[rows] = matrix.read(rows)
    far, values, near = svd(whole.numpy(), full_matrices=False, overwrite_a=True,
                            lapack_driver="gesdd")  # fmt: skip
    sides = torch.from_numpy(far), torch.from_numpy(values), torch.from_numpy(near).T
    return _signed(matrix, *sides)


def _error(matrix: Tall, far: Tensor, values: Tensor, near: Tensor) -> float:
    """Largest error, seen by random vectors, of both orthonormal sides and of the product."""
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(values.shape[0], PROBES, dtype=torch.float64, generator=generator)
    mixed = torch.cat([probes, values[:, None] * (near.T @ probes)], dim=1)
    largest = values.max().clamp_min(torch.finfo(torch.float64).tiny)
    back, errors = -probes, [near.T @ (near @ probes) - probes]
    # one pass over the far side for both of its checks
    for rows in matrix.blocks():
        seen = far[rows] @ mixed
        back += far[rows].T @ seen[:, :PROBES]
        errors.append((matrix.read(rows) @ probes - seen[:, PROBES:]) / largest)
    # `max` of tensors, unlike that of numbers, passes NaN on
    return float(torch.stack([error.abs().max() for error in [back, *errors]]).max())


def _sign(left: Tensor) -> Tensor:
    """1 or -1 for each column [rank]: the sign of its largest entry."""
    # extremes, unlike the place of the largest, are found without a copy of the magnitudes
    return torch.where(-left.amin(dim=0) > left.amax(dim=0), -1.0, 1.0).to(left.dtype)


def _signed(
    matrix: Tall, far: Tensor, values: Tensor, near: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The sides with each pair of columns turned so that the largest entry of u is positive."""
    sign = _sign(near if matrix.wide else far)
    return far.mul_(sign), values, near * sign


def _stored(matrix: Tall, far: Tensor, values: Tensor, near: Tensor, dtype: torch.dtype) -> Factors:
    """Factors of the stored matrix in that type; only one copy of each side is made."""
    far, near = far.to(dtype).contiguous(), near.to(dtype).contiguous()
    values = values.to(dtype).contiguous()
    return Factors(near, values, far) if matrix.wide else Factors(far, values, near)
