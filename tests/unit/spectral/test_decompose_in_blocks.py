# SPDX-License-Identifier: MIT
"""Factors of matrices that are read in blocks equal LAPACK's of whole matrices."""

import pytest
import torch
from torch import Tensor

from derotate.spectral import decompose as stream
from derotate.spectral.decompose import (
    Routine,
    difference_view,
    factorise_streamed,
    fastest_routine,
    singular_values,
    tall_view,
)
from derotate.spectral.factors import Factors

SHAPES = [(48, 48), (70, 20), (20, 70), (33, 1), (1, 5)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, the last one shorter."""
    monkeypatch.setattr(stream, "BLOCK", 210)


def weight(shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Gaussian, its columns of falling scale, so that values spread as those of weights do."""
    generator = torch.Generator().manual_seed(sum(shape))
    scale = torch.logspace(0, -2, shape[1])
    return (torch.randn(shape, generator=generator) * scale).to(dtype)


def by_lapack(matrix: Tensor) -> Factors:
    """Factors of the whole matrix, the largest entry of each column of u positive."""
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    sign = u.gather(0, u.abs().argmax(dim=0, keepdim=True)).sign()
    return Factors(u * sign, s, vh.T * sign)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("routine", ["gram", "gesdd"])
def test_streamed_factors_are_those_of_the_whole_matrix(
    shape: tuple[int, int], routine: Routine
) -> None:
    matrix = weight(shape)
    streamed = factorise_streamed(tall_view(matrix), torch.float64, routine)
    whole = by_lapack(matrix)
    for own, other in ((streamed.u, whole.u), (streamed.s, whole.s), (streamed.v, whole.v)):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bfloat16_weight_is_decomposed_in_float64(shape: tuple[int, int]) -> None:
    matrix = weight(shape, torch.bfloat16)
    found = factorise_streamed(tall_view(matrix), torch.float64)
    torch.testing.assert_close(found.matrix(), matrix.double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(70, 20), (20, 70)])
def test_a_matrix_of_low_rank_falls_back_and_keeps_orthonormal_vectors(
    shape: tuple[int, int],
) -> None:
    matrix = weight((shape[0], 3)) @ weight((3, shape[1]))
    found = factorise_streamed(tall_view(matrix), torch.float64)
    identity = torch.eye(found.rank, dtype=torch.float64)
    torch.testing.assert_close(found.u.T @ found.u, identity, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.v.T @ found.v, identity, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.matrix(), matrix.double(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_alone_are_right_to_the_root_of_machine_precision(shape: tuple[int, int]) -> None:
    matrix = weight(shape).double()
    own, other = singular_values(tall_view(matrix)), torch.linalg.svdvals(matrix)
    torch.testing.assert_close(own, other, rtol=0, atol=2e-8 * float(other.max()))


def test_a_difference_is_taken_before_it_is_rounded() -> None:
    first = weight((70, 20), torch.bfloat16)
    second = first + torch.tensor(2.0**-7, dtype=torch.bfloat16)
    found = difference_view(second, first)
    rebuilt = torch.cat([found.read(rows) for rows in found.blocks()])
    assert torch.equal(rebuilt, second.double() - first.double())


def test_what_is_not_finite_is_refused() -> None:
    matrix = weight((70, 20))
    matrix[3, 4] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        factorise_streamed(tall_view(matrix))


def test_the_gram_matrix_wins_on_every_measured_shape() -> None:
    shapes = [(192, 576), (576, 576), (1536, 576), (18944, 3584), (3584, 18944)]
    assert {fastest_routine(shape) for shape in shapes} == {"gram"}
