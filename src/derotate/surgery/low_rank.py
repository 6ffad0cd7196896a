# SPDX-License-Identifier: MIT
"""Which edits are of low rank, and how low: what a LoRA adapter can hold exactly.

An adapter adds left @ right^T. With k values or vectors in the band, an edit of values has rank k,
of directions or both 2 k (the donor's band comes, the patient's goes), and aligned directions 3 k.
The last: the polar factor of a basis with k foreign columns is a function of its Gram matrix, which
differs from the identity only by the overlaps of those columns with the others. So a vector y is
mapped as before if its coefficients c in the patient's complete basis, that of the shorter side,
are zero on the band and orthogonal to the overlaps, and if S c is orthogonal to those of the other
side: 3 k conditions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral.decompose import Tall
from derotate.surgery.edits import Change, Thin

PER_VECTOR: dict[str, int] = {
    "values": 1,
    "directions": 2,
    "both": 2,
    "random_rotation": 2,
    "aligned": 3,
}
"""Rank of an edit for each value or vector in its band."""

RESIDUAL = 1e-5
"""Largest part of a change that an adapter may leave out, relative to the change: float32 factors
are orthonormal to 1e-7 only, and the aligned bases are made of them."""


SPARE = 8
"""Random combinations beyond the rank; without them the rounding of factors grows tenfold."""


class NotLowRankError(ValueError):
    """An edit that no adapter holds: one line with the recipe, the matrix and the reason."""


def edit_rank(recipe: Recipe, shape: tuple[int, int], name: str) -> int:
    """The rank of the change that a recipe makes to a matrix of that shape; 0 for an empty band.

    Raises:
        NotLowRankError: full rank, or so near to it that an adapter would hold more numbers than
            the matrix.
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
    if rank * sum(shape) >= math.prod(shape):
        raise NotLowRankError(
            f"recipe {recipe.name}: changes {name} {list(shape)} by rank {rank} of {min(shape)}, "
            f"expected below {math.prod(shape) / sum(shape):g} for LoRA, from where on an adapter "
            "is larger than the matrix; write a checkpoint (--format checkpoint)"
        )
    return rank


def thin_change(change: Change, rank: int, name: str) -> Thin:
    """The change as a product of thin matrices, exactly.

    Where the algebra does not give one, the range is found from a few more random combinations of
    columns than the rank: exact for an exact rank, in contrast to its use on flat spectra (Halko,
    Martinsson and Tropp 2011), and what is left over is measured.

    Raises:
        NotLowRankError: more than `RESIDUAL` of the change is left over.
    """
    if change.thin is not None:
        return change.thin
    wide = change.shape[0] < change.shape[1]

    def read(rows: slice) -> Tensor:
        block = change.block(rows).to(torch.float64)
        return block.T if wide else block

    tall = Tall(change.shape, read)
    short = min(change.shape)
    generator = torch.Generator().manual_seed(0)
    mixes = torch.randn(short, min(short, rank + SPARE), dtype=torch.float64, generator=generator)
    basis = torch.linalg.qr(torch.cat([read(rows) @ mixes for rows in tall.blocks()])).Q
    near = torch.zeros(short, basis.shape[1], dtype=torch.float64)
    for rows in tall.blocks():
        near += read(rows).T @ basis[rows]
    turn, values, near = torch.linalg.svd(near.T, full_matrices=False)
    far, near = (basis @ turn[:, :rank]) * values[:rank], near[:rank].T
    square, left_over = 0.0, 0.0
    for rows in tall.blocks():
        block = read(rows)
        square += float(block.square().sum())
        left_over += float((block - far[rows] @ near.T).square().sum())
    if left_over > RESIDUAL**2 * square:
        raise NotLowRankError(
            f"{name}: rank {rank} leaves out {math.sqrt(left_over / square):.1e} of the change, "
            f"expected at most {RESIDUAL:.0e}; take factors of float64 (--precision float64) or "
            "write a checkpoint (--format checkpoint)"
        )
    return Thin(near, far) if wide else Thin(far, near)
