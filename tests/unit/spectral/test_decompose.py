# SPDX-License-Identifier: MIT
"""The decomposition is exact, orthonormal on both sides and reproducible, also at low rank."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.spectral.decompose import factorise
from derotate.spectral.factors import Factors, load_factors, save_factors

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def gaussian(shape: tuple[int, int], seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def assert_orthonormal(basis: torch.Tensor, atol: float) -> None:
    gram = basis.double().T @ basis.double()
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=atol)


@settings(deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 10**6))
def test_factors_rebuild_the_weight_with_orthonormal_bases(
    shape: tuple[int, int], seed: int
) -> None:
    weight = gaussian(shape, seed)
    factors = factorise(weight, torch.float64)
    assert (factors.u.shape, factors.v.shape) == (
        (shape[0], factors.rank),
        (shape[1], factors.rank),
    )
    torch.testing.assert_close(factors.matrix(), weight.double(), rtol=0, atol=1e-8)
    reference = torch.linalg.svdvals(weight.double())
    torch.testing.assert_close(factors.s, reference, rtol=1e-8, atol=1e-9)
    assert bool((factors.s[:-1] >= factors.s[1:]).all())
    assert_orthonormal(factors.u, 1e-7)
    assert_orthonormal(factors.v, 1e-7)


@settings(deadline=None)
@given(shape=SHAPES, rank=st.integers(0, 5), seed=st.integers(0, 10**6))
def test_weights_of_low_rank_get_orthonormal_bases_too(
    shape: tuple[int, int], rank: int, seed: int
) -> None:
    weight = gaussian((shape[0], rank), seed) @ gaussian((rank, shape[1]), seed + 1)
    factors = factorise(weight)
    assert_orthonormal(factors.u, 1e-5)
    assert_orthonormal(factors.v, 1e-5)
    torch.testing.assert_close(factors.matrix(), weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize("smallest", [1e-3, 1e-5, 1e-7, 1e-12])
def test_ill_conditioned_weights_keep_the_far_side_orthogonal(smallest: float) -> None:
    left = torch.linalg.qr(gaussian((60, 24), 0, torch.float64)).Q
    right = torch.linalg.qr(gaussian((24, 24), 1, torch.float64)).Q
    values = torch.logspace(0, torch.tensor(smallest).log10().item(), 24, dtype=torch.float64)
    factors = factorise((left * values) @ right.T, torch.float64)
    assert_orthonormal(factors.u, 1e-7)
    # The squared condition number would lose all digits of the smallest value.
    torch.testing.assert_close(factors.s, values, rtol=1e-2, atol=1e-15)


def test_signs_do_not_depend_on_the_orientation_of_the_decomposition() -> None:
    factors = factorise(gaussian((12, 30), 5))
    peaks = factors.u.gather(0, factors.u.abs().argmax(dim=0, keepdim=True))
    assert bool((peaks > 0).all())


@pytest.mark.parametrize(
    "weight",
    [torch.zeros(3), torch.zeros(2, 3, 4), torch.zeros(0, 3), torch.tensor([[1.0, torch.nan]])],
)
def test_what_is_not_a_finite_matrix_is_refused(weight: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        factorise(weight)


def test_saved_factors_return_bit_for_bit_and_leave_nothing_aside(tmp_path: Path) -> None:
    factors = {
        f"model.layers.{i}.mlp.up_proj.weight": factorise(gaussian((9, 5), i)) for i in range(11)
    }
    save_factors(tmp_path / "factors.safetensors", factors)
    loaded = load_factors(tmp_path / "factors.safetensors")
    assert loaded.keys() == factors.keys()
    for name, found in loaded.items():
        assert isinstance(found, Factors)
        for part in ("u", "s", "v"):
            assert torch.equal(getattr(found, part), getattr(factors[name], part))
    assert [path.name for path in tmp_path.iterdir()] == ["factors.safetensors"]
