# SPDX-License-Identifier: MIT
"""Changes made block by block equal those made at once; low ranks are exact."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral import decompose as stream
from derotate.spectral.decompose import factorise
from derotate.spectral.factor_cache import FactorCache
from derotate.spectral.factors import Factors
from derotate.surgery.edits import Change, streamed_change
from derotate.surgery.low_rank import NotLowRankError, edit_rank, low_rank_change

NAME = "model.layers.0.mlp.up_proj.weight"
SHAPES = [(40, 40), (64, 24), (24, 64)]
BAND = {"band": {"fraction": 0.25}}
RECIPES: dict[str, dict[str, Any]] = {
    "values": BAND,
    "directions": BAND,
    "both": BAND,
    "aligned": BAND,
    "random_rotation": BAND,
    "random_norm": BAND,
    "rollback": {},
    "interpolate": {"amount": 0.3},
    "low_rank": {"rank": 3},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks a matrix, the last one shorter."""
    monkeypatch.setattr(stream, "BLOCK", 250)


def recipe(part: str, **keys: Any) -> Recipe:
    return Recipe.model_validate({"name": "r", "part": part, **(keys or RECIPES[part])})


def pair(shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Donor and patient whose singular values fall as a power of their index."""
    generator = torch.Generator().manual_seed(sum(shape))
    u, s, vh = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    donor = (u * torch.arange(1, len(s) + 1).float().pow(-0.8)) @ vh
    noise = torch.randn(shape, generator=generator)
    return donor.to(dtype), (donor + 0.05 * noise * donor.norm() / noise.norm()).to(dtype)


def decompose(weight: Tensor) -> Factors:
    return factorise(weight)


def whole(change: Change) -> Tensor:
    """All blocks of a change put together."""
    tall = stream.TallView(change.shape, lambda rows: torch.empty(0))
    return torch.cat([change.block(rows) for rows in tall.blocks()], dim=int(tall.wide))


def at_once(edit: Recipe, donor: Tensor, patient: Tensor) -> Tensor:
    """The change with all rows in one block, from factors that were made in one block."""
    with pytest.MonkeyPatch.context() as here:
        here.setattr(stream, "BLOCK", 1 << 20)
        return streamed_change(edit, NAME, donor, patient, decompose).block(slice(None))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", RECIPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changes_by_blocks_are_those_made_at_once(
    part: str, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    donor, patient = pair(shape, dtype)
    own = whole(streamed_change(recipe(part), NAME, donor, patient, decompose)).double()
    expected = at_once(recipe(part), donor, patient).double()
    assert float((own - expected).norm()) <= 1e-6 * float(patient.double().norm())
    assert float((own - expected).norm()) <= 1e-5 * float(expected.norm())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", ["rollback", "interpolate"])
def test_edits_of_weights_are_equal_bit_for_bit(part: str, shape: tuple[int, int]) -> None:
    donor, patient = pair(shape)
    own = whole(streamed_change(recipe(part), NAME, donor, patient, decompose))
    assert torch.equal(own, at_once(recipe(part), donor, patient))


def test_pairing_by_similarity_is_streamed_too() -> None:
    donor, patient = pair((64, 24))
    edit = recipe("directions", **BAND, pairing="similarity")
    own = whole(streamed_change(edit, NAME, donor, patient, decompose))
    torch.testing.assert_close(own, at_once(edit, donor, patient), rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", ["values", "aligned", "random_norm"])
def test_an_empty_band_changes_nothing(part: str) -> None:
    donor, patient = pair((64, 24))
    edit = recipe(part, band={"count": 0})
    assert not whole(streamed_change(edit, NAME, donor, patient, decompose)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", ["values", "directions", "both", "aligned", "random_rotation",
                                  "low_rank"])  # fmt: skip
def test_an_edit_of_low_rank_is_a_product_of_thin_matrices(
    part: str, shape: tuple[int, int]
) -> None:
    edit = recipe(part, rank=2) if part == "low_rank" else recipe(part, band={"count": 2})
    donor, patient = pair(shape)
    change = streamed_change(edit, NAME, donor, patient, decompose)
    rank = edit_rank(edit, shape, NAME)
    thin = low_rank_change(change, rank, NAME)
    assert thin.left.shape == (shape[0], rank)
    assert thin.right.shape == (shape[1], rank)
    product = thin.left.double() @ thin.right.double().T
    expected = at_once(edit, donor, patient).double()
    assert float((product - expected).norm()) <= 1e-5 * float(expected.norm())
    assert thin.norm == pytest.approx(float(expected.norm()), rel=1e-5)


@pytest.mark.parametrize("shape", [(64, 24), (24, 64)])
def test_the_rank_of_an_aligned_edit_is_three_times_its_band(shape: tuple[int, int]) -> None:
    donor, patient = (weight.double() for weight in pair(shape))
    edit = recipe("aligned", band={"count": 2, "where": "middle"})
    exact = {id(weight): factorise(weight, torch.float64) for weight in (donor, patient)}
    change = streamed_change(edit, NAME, donor, patient, lambda weight: exact[id(weight)])
    values = torch.linalg.svdvals(whole(change))
    assert values[5] > 1e-3 * values[0]
    assert values[6] < 1e-11 * values[0]
    assert edit_rank(edit, shape, NAME) == 6
    with pytest.raises(NotLowRankError, match="rank 5 leaves out"):
        low_rank_change(change, 5, NAME)


@pytest.mark.parametrize("part", ["rollback", "interpolate", "random_norm"])
def test_changes_of_full_rank_are_refused_with_the_reason(part: str) -> None:
    with pytest.raises(NotLowRankError, match=f"part = {part} changes a matrix by full rank"):
        edit_rank(recipe(part), (40, 40), NAME)


def test_a_rank_from_which_an_adapter_is_larger_than_the_matrix_is_refused() -> None:
    assert edit_rank(recipe("directions", band={"count": 9}), (40, 40), NAME) == 18
    with pytest.raises(NotLowRankError, match="by rank 20 of 40, expected below 20"):
        edit_rank(recipe("directions", band={"count": 10}), (40, 40), NAME)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cached_factors_are_found_by_the_bytes_of_the_weight(
    tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FactorCache(tmp_path, dtype)
    weight, other = pair((64, 24))
    first = cache.factors(weight)
    assert first.u.dtype == dtype
    torch.testing.assert_close(first.u, factorise(weight, dtype).u, rtol=0, atol=1e-6)
    cache.factors(other)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    monkeypatch.setattr("derotate.spectral.factor_cache.factorise_streamed", pytest.fail)
    assert torch.equal(cache.factors(weight.clone()).v, first.v)
