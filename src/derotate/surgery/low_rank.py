# SPDX-License-Identifier: MIT
"""The rank of each edit, and low-rank changes as products of thin factors: what LoRA can hold.

With k singular values or vectors in the band, an edit of values has rank k. Directions and both
have 2 k: the donor's band is added, the patient's removed. Aligned directions have 3 k. Proof of
the last: the polar factor of a basis with k replaced columns is a function of its Gram matrix,
which differs from the identity only by the overlaps of these columns with the others. Let c be the
coefficients of an input in the patient's complete basis of the shorter side. Its image is unchanged
if c is zero on the band, if c is orthogonal to the overlaps of this side, and if S c is orthogonal
to those of the other side: 3 k conditions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.decompose import TallView
from derotate.surgery.edits import Change, LowRank

PER_VECTOR: dict[str, int] = {
    "values": 1,
    "directions": 2,
    "both": 2,
    "random_rotation": 2,
    "aligned": 3,
}
"""Rank of an edit per singular value or vector in its band."""

RESIDUAL = 1e-5
"""Largest relative residual of a low-rank factorisation: float32 factors, of which aligned bases
are made, are orthonormal to 1e-7 only."""

OVERSAMPLING = 8
"""Random combinations beyond the rank; without them the rounding of the factors grows tenfold."""


class NotLowRankError(ValueError):
    """No LoRA adapter can hold an edit: one line with the recipe, the matrix and the reason."""


def edit_rank(recipe: Recipe, shape: tuple[int, int], name: str) -> int:
    """Rank of a recipe's change of a matrix [out, in]; 0 for an empty band.

    Raises:
        NotLowRankError: full rank, or a rank at which an adapter has more parameters than the
            matrix.
    """
    if recipe.part == "low_rank":
        assert recipe.rank is not None
        rank = recipe.rank
    elif recipe.part in PER_VECTOR:
        assert recipe.band is not None
        rank = PER_VECTOR[recipe.part] * recipe.band.size(min(shape))
    else:
        raise NotLowRankError(
            f"recipe {recipe.name}: part = {recipe.part} changes a matrix by full rank, expected "
            "a change of low rank for LoRA; write a checkpoint (--format checkpoint)"
        )
    # B [out, r] and A [r, in] together have r (out + in) parameters.
    if rank * sum(shape) >= math.prod(shape):
        raise NotLowRankError(
            f"recipe {recipe.name}: changes {name} {list(shape)} by rank {rank} of {min(shape)}, "
            f"expected below {math.prod(shape) / sum(shape):g} for LoRA, from where on an adapter "
            "is larger than the matrix; write a checkpoint (--format checkpoint)"
        )
    return rank


def low_rank_change(change: Change, rank: int, name: str) -> LowRank:
    """The change as a product of thin factors, exact.

    Where the algebra gives no product, the range is found by a randomised range finder (Halko,
    Martinsson and Tropp 2011, algorithm 4.1). That is exact for a matrix of exactly this rank, in
    contrast to its use on the flat spectra of weights, and the residual is checked.

    Args:
        change: of a matrix [out, in].
        rank: of the change.
        name: of the tensor, for the message.

    Raises:
        NotLowRankError: the relative residual exceeds `RESIDUAL`.
    """
    if change.low_rank is not None:
        return change.low_rank
    wide = change.shape[0] < change.shape[1]

    def read(rows: slice) -> Tensor:
        block = change.block(rows).to(torch.float64)
        return block.T if wide else block

    view = TallView(change.shape, read)
    short = min(change.shape)
    generator = torch.Generator().manual_seed(0)
    columns = min(short, rank + OVERSAMPLING)
    mixes = torch.randn(short, columns, dtype=torch.float64, generator=generator)
    # [long, columns], orthonormal: the range of the change
    basis = torch.linalg.qr(torch.cat([read(rows) @ mixes for rows in view.blocks()])).Q
    # Q^T C, accumulated transposed [short, columns]: its SVD is small and gives that of C.
    projection = torch.zeros(short, basis.shape[1], dtype=torch.float64)
    for rows in view.blocks():
        projection += read(rows).T @ basis[rows]
    u, s, vh = torch.linalg.svd(projection.T, full_matrices=False)
    long_side, short_side = (basis @ u[:, :rank]) * s[:rank], vh[:rank].T
    square = residual = 0.0
    for rows in view.blocks():
        block = read(rows)
        square += float(block.square().sum())
        residual += float((block - long_side[rows] @ short_side.T).square().sum())
    if residual > RESIDUAL**2 * square:
        raise NotLowRankError(
            f"{name}: rank {rank} leaves out {math.sqrt(residual / square):.1e} of the change, "
            f"expected at most {RESIDUAL:.0e}; take factors of float64 (--precision float64) or "
            "write a checkpoint (--format checkpoint)"
        )
    return LowRank(short_side, long_side) if wide else LowRank(long_side, short_side)
