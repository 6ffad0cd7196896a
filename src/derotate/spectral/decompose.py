# SPDX-License-Identifier: MIT
"""Exact thin SVD of a matrix that is read in blocks, without a float64 copy of it.

In float64 the eigenvectors of the Gram matrix of the short side are precise enough for weights, and
two to four times faster than a direct SVD (`MEASURED`). In float32
they are wrong, and so are randomised methods on the flat spectra of weights. The Gram matrix
squares the condition number, so each result is probed with random vectors; a matrix that fails is
decomposed directly.

Memory holds one matrix at a time. With T its float64 bytes and S those of its short side squared,
the peak beside the blocks is max(3/2 T + 5/2 S, 4 S) for float32 factors: below 3 T where the
longer side is at least 5/3 of the shorter, as in every MLP, and 4 T for a square matrix.

Throughout, "short" and "long" are the sides of a matrix: [out, in] = [long, short] if it is tall
and [short, long] if it is wide.
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
"""Largest probed error in float64, of orthogonality and of reconstruction relative to the largest
singular value: below the rounding of float32 factors (6e-8), above that of most weights (1e-10)."""

PROBES = 8
"""Random vectors per probe; the expected square of each one's error is the squared Frobenius norm
of the error matrix."""

BLOCK = 1 << 20
"""Entries of a block: 8 MB of float64. Smaller blocks slow matrix products down. Sums and casts
take twice as long in blocks of 32 MB, which fit no cache."""

Routine = Literal["gram", "gesdd"]

MEASURED: tuple[tuple[int, int, float, float], ...] = (
    (192, 576, 2.2, 6.4),
    (576, 576, 24.8, 36.8),
    (576, 1536, 35.7, 76.7),
    (576, 49152, 722.0, 2070.0),
)
"""Short side, long side, milliseconds of gram and of gesdd in float64 (torch with MKL, two cores).

Randomised SVD is not in the table: on the flat spectra of weights it is wrong by tens of per cent.
"""


@dataclass(frozen=True)
class TallView:
    """A matrix transposed if wide, [long, short], so that blocks are always rows.

    Attributes:
        shape: (out, in) of the matrix as stored.
        read: slice of the longer side -> float64 [rows, short].
    """

    shape: tuple[int, int]
    read: Callable[[slice], Tensor]

    @property
    def wide(self) -> bool:
        """Whether the tall view is the transpose of the matrix."""
        return self.shape[0] < self.shape[1]

    def blocks(self) -> Iterator[slice]:
        """Slices of the longer side, of about `BLOCK` entries each."""
        short, long = sorted(self.shape)
        rows = max(1, BLOCK // short)
        return (slice(start, min(start + rows, long)) for start in range(0, long, rows))


def tall_view(weight: Tensor) -> TallView:
    """The tall view of a weight [out, in] of any dtype, memory-mapped or not."""
    shape = _matrix_shape(weight)
    if shape[0] < shape[1]:
        return TallView(shape, lambda rows: weight[:, rows].T.to(torch.float64))
    return TallView(shape, lambda rows: weight[rows].to(torch.float64))


def difference_view(weight: Tensor, other: Tensor) -> TallView:
    """The tall view of `weight - other`, [out, in] each, subtracted in float64."""
    first, second = tall_view(weight), tall_view(other)
    return TallView(first.shape, lambda rows: first.read(rows) - second.read(rows))


def block_of(matrix: Tensor, rows: slice) -> Tensor:
    """Rows of a matrix [out, in], or columns if it is wide, as a view of the stored orientation."""
    return matrix[:, rows] if matrix.shape[0] < matrix.shape[1] else matrix[rows]


def fastest_routine(shape: tuple[int, int]) -> Routine:
    """The routine that was faster on the nearest measured shape (log scale)."""
    short, long = sorted(shape)

    # Times are powers of the sides, so shapes are compared by logarithms.
    def distance(row: tuple[int, int, float, float]) -> float:
        return math.hypot(math.log(row[0] / short), math.log(row[1] / long))

    _, _, gram, gesdd = min(MEASURED, key=distance)
    return "gram" if gram <= gesdd else "gesdd"


def factorise(weight: Tensor, dtype: torch.dtype = torch.float32) -> Factors:
    """Thin SVD of `weight` [out, in], computed in float64 and returned in `dtype`.

    The sign of each pair of vectors is fixed: the largest entry of a u column by magnitude is
    positive. Vectors of zero and of repeated singular values are orthonormal too.

    Raises:
        ValueError: not a matrix, or not finite.
        ArithmeticError: no routine reached `ERROR_BOUND`.
    """
    return factorise_streamed(tall_view(weight.detach()), dtype)


def factorise_streamed(
    matrix: TallView, dtype: torch.dtype = torch.float32, routine: Routine | None = None
) -> Factors:
    """Thin SVD, computed in float64 and returned in `dtype`; signs as in `factorise`.

    Args:
        matrix: a view of the matrix.
        dtype: of the factors.
        routine: by default the fastest for the shape. gram falls back to gesdd if its probed error
            exceeds `ERROR_BOUND`.

    Raises:
        ValueError: an entry is not finite.
        ArithmeticError: no routine reached the bound.
    """
    matrix = _cast_once(matrix)
    if (routine or fastest_routine(matrix.shape)) == "gram":
        svd_of_view = _by_gram(matrix)
        # NaN, from a division by a zero singular value, compares as false and is a failure too.
        if _error(matrix, *svd_of_view) <= ERROR_BOUND:
            return _as_factors(matrix, *svd_of_view, dtype)
        # Freed before the direct decomposition, which needs its memory.
        del svd_of_view
    svd_of_view = _by_gesdd(matrix)
    error = _error(matrix, *svd_of_view)
    if not error <= ERROR_BOUND:
        raise ArithmeticError(
            f"singular value decomposition is off by {error:.1e}, expected at most "
            f"{ERROR_BOUND:.0e}; check the weight and the BLAS library"
        )
    return _as_factors(matrix, *svd_of_view, dtype)


def singular_values(matrix: TallView) -> Tensor:
    """All singular values [short], float64, descending: roots of the Gram matrix's eigenvalues.

    Errors are up to 1e-8 of the largest value: enough for a distribution, not for surgery.
    """
    return torch.linalg.eigvalsh(_gram(matrix), UPLO="U").clamp_min(0.0).sqrt().flip(0)


def _matrix_shape(weight: Tensor) -> tuple[int, int]:
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"weight has shape {list(weight.shape)}, expected a matrix [out, in]")
    return weight.shape[0], weight.shape[1]


def _cast_once(matrix: TallView) -> TallView:
    """The same view; a matrix of one block is kept in float64."""
    if math.prod(matrix.shape) > BLOCK:
        return matrix
    # Three passes read the matrix: Gram matrix, long vectors, probe.
    cast = matrix.read(slice(0, max(matrix.shape)))
    return TallView(matrix.shape, lambda rows: cast[rows])


def _gram(matrix: TallView) -> Tensor:
    """Upper triangle of the Gram matrix [short, short], zeros below it."""
    short = min(matrix.shape)
    gram = np.zeros((short, short), order="F")
    for rows in matrix.blocks():
        block = matrix.read(rows).numpy()
        # dsyrk takes column-major arrays. The transpose of a row-major block is one without a copy.
        operand, transposed = (block.T, 0) if block.flags.c_contiguous else (block, 1)
        # dsyrk computes one triangle, half the work of a product; torch does not offer it.
        gram = dsyrk(1.0, operand, trans=transposed, beta=1.0, c=gram, overwrite_c=True)
    if not bool(np.isfinite(gram).all()):
        raise ValueError("weight has entries that are not finite, expected numbers")
    return torch.from_numpy(gram)


def _by_gram(matrix: TallView) -> tuple[Tensor, Tensor, Tensor]:
    """Long vectors [long, short], values [short], short vectors [short, short]; float64, signed."""
    short_vectors = _eigenvectors(_gram(matrix)).flip(1)
    rank = short_vectors.shape[0]
    long_vectors = torch.empty(max(matrix.shape), rank, dtype=torch.float64)
    squares = torch.zeros(rank, dtype=torch.float64)
    for rows in matrix.blocks():
        image = long_vectors[rows]
        torch.mm(matrix.read(rows), short_vectors, out=image)
        squares += image.square().sum(dim=0)
    # The norm of the image A v is more precise than the root of a small eigenvalue. Its order can
    # differ from that of the eigenvalues, but rarely does.
    values, order = squares.sqrt().sort(descending=True, stable=True)
    if bool((order.diff() == 1).all()):
        sign = _sign(short_vectors if matrix.wide else long_vectors)
        long_vectors /= values * sign
        return long_vectors, values, short_vectors * sign
    for rows in matrix.blocks():
        long_vectors[rows] = long_vectors[rows][:, order] / values
    return _signed(matrix, long_vectors, values, short_vectors[:, order])


def _eigenvectors(gram: Tensor) -> Tensor:
    """Eigenvectors [short, short], ascending, of a matrix given by its upper triangle."""
    if torch.get_num_threads() > 1:
        return torch.linalg.eigh(gram, UPLO="U").eigenvectors
    # On one thread scipy's OpenBLAS is faster than torch's MKL (short side 576 on two AMD machines:
    # 35 against 42 ms, 27 against 41). On two threads it is not, or is much slower.
    _, vectors = eigh(gram.numpy(), lower=False, driver="evd", overwrite_a=True, check_finite=False)
    return torch.from_numpy(vectors)


def _by_gesdd(matrix: TallView) -> tuple[Tensor, Tensor, Tensor]:
    """The same as `_by_gram` by LAPACK's divide and conquer."""
    short, long = sorted(matrix.shape)
    # Column-major, so that LAPACK overwrites this array instead of a copy.
    view = torch.empty(short, long, dtype=torch.float64).T
    for rows in matrix.blocks():
        view[rows] = matrix.read(rows)
    u, s, vh = svd(view.numpy(), full_matrices=False, overwrite_a=True, lapack_driver="gesdd")
    return _signed(matrix, torch.from_numpy(u), torch.from_numpy(s), torch.from_numpy(vh).T)


def _error(matrix: TallView, long_vectors: Tensor, values: Tensor, short_vectors: Tensor) -> float:
    """Largest probed error of an SVD A = L S R^T: of L^T L, of R^T R, and of A itself.

    For random x: max(|L^T L x - x|, |R^T R x - x|, |A x - L S R^T x| / s_1) over all entries.
    """
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(values.shape[0], PROBES, dtype=torch.float64, generator=generator)
    mixed = torch.cat([probes, values[:, None] * (short_vectors.T @ probes)], dim=1)
    largest = values.max().clamp_min(torch.finfo(torch.float64).tiny)
    long_error, errors = -probes, [short_vectors.T @ (short_vectors @ probes) - probes]
    # One pass over the long vectors serves both of their checks.
    for rows in matrix.blocks():
        seen = long_vectors[rows] @ mixed
        long_error += long_vectors[rows].T @ seen[:, :PROBES]
        errors.append((matrix.read(rows) @ probes - seen[:, PROBES:]) / largest)
    # `max` of tensors passes NaN on, `max` of Python numbers does not.
    return float(torch.stack([error.abs().max() for error in [long_error, *errors]]).max())


def _sign(left: Tensor) -> Tensor:
    """1 or -1 per column [rank]: the sign of its largest entry by magnitude."""
    # `abs().argmax()` would copy the matrix; minimum and maximum do not.
    return torch.where(-left.amin(dim=0) > left.amax(dim=0), -1.0, 1.0).to(left.dtype)


def _signed(
    matrix: TallView, long_vectors: Tensor, values: Tensor, short_vectors: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The SVD with signs chosen so that the largest entry of each u column is positive."""
    sign = _sign(short_vectors if matrix.wide else long_vectors)
    return long_vectors.mul_(sign), values, short_vectors * sign


def _as_factors(
    matrix: TallView,
    long_vectors: Tensor,
    values: Tensor,
    short_vectors: Tensor,
    dtype: torch.dtype,
) -> Factors:
    """Factors of the matrix as stored, in `dtype`."""
    long_vectors = long_vectors.to(dtype).contiguous()
    short_vectors = short_vectors.to(dtype).contiguous()
    values = values.to(dtype).contiguous()
    if matrix.wide:
        return Factors(short_vectors, values, long_vectors)
    return Factors(long_vectors, values, short_vectors)
