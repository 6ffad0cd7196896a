# SPDX-License-Identifier: MIT
"""Surgery against the published formula, its controls, and its limits: empty band, full band."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from derotate.config.recipes import Band, Recipe
from derotate.spectral.angles import principal_angles
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import Factors
from derotate.surgery.band_edits import (
    Match,
    edited_names,
    interpolation_for_loss,
    paired_by_similarity,
)
from derotate.surgery.edits import Change, change_norm, edited_blocks, streamed_change

NAME = "model.layers.0.mlp.up_proj.weight"
BAND_PARTS = ["values", "directions", "both", "aligned", "random_rotation", "random_norm"]
shapes = st.tuples(st.integers(2, 24), st.integers(2, 24))
bands = st.builds(
    Band,
    where=st.sampled_from(["top", "bottom", "middle"]),
    fraction=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 1.0]),
)
seeds = st.integers(0, 10**6)


class Pair:
    """A donor and a patient: gaussian weights a small change apart, with float64 factors."""

    def __init__(self, shape: tuple[int, int], seed: int, distance: float = 0.1) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.donor_weight = torch.randn(shape, generator=generator)
        self.patient_weight = self.donor_weight + distance * torch.randn(shape, generator=generator)
        self.donor = factorise(self.donor_weight, torch.float64)
        self.patient = factorise(self.patient_weight, torch.float64)

    def change(self, recipe: Recipe, name: str = NAME) -> Change:
        """The change that the recipe makes to the patient."""
        return streamed_change(
            recipe, name, self.donor_weight, self.patient_weight,
            lambda weight: self.donor if weight is self.donor_weight else self.patient,
        )  # fmt: skip

    def delta(self, recipe: Recipe, name: str = NAME) -> Tensor:
        """The same as a matrix."""
        return self.change(recipe, name).block(slice(None))


def spectral(part: str, band: Band, **keys: object) -> Recipe:
    return Recipe.model_validate({"name": "r", "part": part, "band": band, **keys})


def published(part: str, band: Band, pair: Pair) -> Tensor:
    """U' diag(S') V'^T rebuilt from two decompositions, as the released scripts do."""
    ub, sb, vbh = torch.linalg.svd(pair.donor_weight.double(), full_matrices=False)
    ut, st_, vth = torch.linalg.svd(pair.patient_weight.double(), full_matrices=False)
    u, s, vh = ut.clone(), st_.clone(), vth.clone()
    for i in band.indices(len(s)):
        if part in ("directions", "both"):
            u[:, i], vh[i] = ub[:, i], vbh[i]
        if part in ("values", "both"):
            s[i] = sb[i]
    rebuilt: Tensor = u @ torch.diag(s) @ vh
    return rebuilt


@settings(deadline=None)
@given(part=st.sampled_from(["values", "directions", "both"]), band=bands, shape=shapes, seed=seeds)
def test_edits_equal_the_published_formula(
    part: str, band: Band, shape: tuple[int, int], seed: int
) -> None:
    pair = Pair(shape, seed)
    edited = pair.patient_weight.double() + pair.delta(spectral(part, band))
    torch.testing.assert_close(edited, published(part, band, pair), rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", BAND_PARTS)
@pytest.mark.parametrize("where", ["top", "bottom", "middle"])
def test_an_empty_band_changes_no_bit(part: str, where: str) -> None:
    pair = Pair((7, 5), 0)
    change = pair.delta(spectral(part, Band.model_validate({"where": where, "count": 0})))
    assert torch.equal(change, torch.zeros(7, 5, dtype=change.dtype))


@settings(deadline=None)
@given(shape=shapes, seed=seeds, distance=st.sampled_from([0.0, 1e-4, 0.1, 100.0]))
def test_rollback_is_the_donor_bit_for_bit(
    shape: tuple[int, int], seed: int, distance: float
) -> None:
    pair = Pair(shape, seed, distance)
    recipes = [
        Recipe(name="rollback", part="rollback"),
        Recipe(name="whole", part="interpolate", amount=1.0),
        Recipe(name="full-rank", part="low_rank", rank=min(shape)),
    ]
    for recipe in recipes:
        ((_, _, weight),) = edited_blocks(pair.change(recipe), pair.patient_weight)
        assert weight.dtype == torch.float32
        assert torch.equal(weight, pair.donor_weight)


@settings(deadline=None)
@given(shape=shapes, seed=seeds, pairing=st.sampled_from(["index", "similarity"]))
def test_both_at_the_full_band_is_the_donor(
    shape: tuple[int, int], seed: int, pairing: str
) -> None:
    pair = Pair(shape, seed)
    recipe = spectral("both", Band(fraction=1), pairing=pairing)
    pair.donor, pair.patient = factorise(pair.donor_weight), factorise(pair.patient_weight)
    change = pair.delta(recipe)
    assert change.dtype == torch.float32
    torch.testing.assert_close(pair.patient_weight + change, pair.donor_weight, rtol=0, atol=1e-5)


@settings(deadline=None)
@given(band=bands, shape=shapes, seed=seeds)
def test_aligned_has_the_singular_values_of_the_patient(
    band: Band, shape: tuple[int, int], seed: int
) -> None:
    pair = Pair(shape, seed)
    edited = pair.patient_weight.double() + pair.delta(spectral("aligned", band))
    torch.testing.assert_close(torch.linalg.svdvals(edited), pair.patient.s, rtol=1e-5, atol=1e-6)


def test_directions_as_published_do_not_keep_the_singular_values() -> None:
    pair = Pair((12, 12), 3, distance=0.5)
    edited = pair.patient_weight.double() + pair.delta(spectral("directions", Band(fraction=0.25)))
    moved = (torch.linalg.svdvals(edited) / pair.patient.s - 1).abs().max()
    assert moved > 0.01


def test_aligned_at_the_full_band_is_directions() -> None:
    pair = Pair((9, 6), 4)
    whole = Band(fraction=1)
    torch.testing.assert_close(
        pair.delta(spectral("aligned", whole)), pair.delta(spectral("directions", whole))
    )


@pytest.mark.parametrize("part", ["directions", "both", "aligned"])
def test_signs_of_vector_pairs_do_not_matter(part: str) -> None:
    pair = Pair((8, 6), 1)
    recipe = spectral(part, Band(fraction=0.5))
    before = pair.delta(recipe)
    sign = torch.tensor([1.0, -1, -1, 1, 1, -1], dtype=torch.float64)
    pair.donor = Factors(pair.donor.u * sign, pair.donor.s, pair.donor.v * sign)
    torch.testing.assert_close(pair.delta(recipe), before)


@settings(deadline=None)
@given(shape=shapes, seed=seeds, rank=st.integers(1, 3))
def test_low_rank_leaves_the_rest_of_the_difference(
    shape: tuple[int, int], seed: int, rank: int
) -> None:
    pair = Pair(shape, seed)
    change = pair.delta(Recipe(name="r", part="low_rank", rank=rank))
    left = pair.patient_weight.double() + change - pair.donor_weight.double()
    before = torch.linalg.svdvals(pair.patient_weight.double() - pair.donor_weight.double())
    expected = torch.cat([before[rank:], torch.zeros(min(rank, len(before)))])
    torch.testing.assert_close(torch.linalg.svdvals(left), expected, rtol=1e-6, atol=1e-7)


@settings(deadline=None)
@given(
    shape=shapes, seed=seeds, fraction=st.sampled_from([0.1, 0.3, 0.6, 0.9]), draw=st.integers(0, 5)
)
def test_random_rotation_has_the_angles_of_the_directions_edit(
    shape: tuple[int, int], seed: int, fraction: float, draw: int
) -> None:
    pair = Pair(shape, seed)
    band = Band(fraction=fraction)
    on = slice(0, len(band.indices(pair.patient.rank)))
    change = pair.delta(spectral("random_rotation", band, seed=draw))
    u, s, v = pair.patient.u[:, on], pair.patient.s[on], pair.patient.v[:, on]
    turned = factorise((u * s) @ v.T + change, torch.float64)
    # Turned, not stretched: the band keeps its singular values.
    torch.testing.assert_close(turned.s[on], s, rtol=1e-6, atol=1e-7)
    for after, before, donor in (
        (turned.u, u, pair.donor.u[:, on]),
        (turned.v, v, pair.donor.v[:, on]),
    ):
        torch.testing.assert_close(
            principal_angles(after[:, on], before),
            principal_angles(donor, before),
            rtol=1e-5,
            atol=1e-5,
        )


@settings(deadline=None)
@given(shape=shapes, seed=seeds, fraction=st.sampled_from([0.2, 0.5, 1.0]))
def test_random_norm_has_the_norm_of_the_directions_edit(
    shape: tuple[int, int], seed: int, fraction: float
) -> None:
    pair = Pair(shape, seed)
    band = Band(fraction=fraction)
    change = pair.delta(spectral("random_norm", band))
    torch.testing.assert_close(change.norm(), pair.delta(spectral("directions", band)).norm())


@pytest.mark.parametrize("part", ["random_rotation", "random_norm"])
def test_random_edits_differ_by_seed_and_by_tensor_but_not_by_run(part: str) -> None:
    pair = Pair((8, 8), 0)
    names = [f"model.layers.{i}.self_attn.q_proj.weight" for i in range(2)]

    def changes(seed: int) -> list[Tensor]:
        recipe = spectral(part, Band(fraction=0.25), seed=seed)
        return [pair.delta(recipe, name) for name in names]

    first, again, other = changes(0), changes(0), changes(1)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(first[0], other[0])


@settings(deadline=None)
@given(shape=shapes, seed=seeds)
def test_pairing_by_similarity_is_by_index_when_nothing_moved(
    shape: tuple[int, int], seed: int
) -> None:
    pair = Pair(shape, seed, distance=0.0)
    paired = paired_by_similarity(pair.donor, pair.patient)
    assert torch.equal(paired.u, pair.donor.u)
    assert torch.equal(paired.s, pair.donor.s)


def test_pairing_by_similarity_follows_singular_values_that_crossed() -> None:
    donor = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    patient = torch.diag(torch.tensor([3.0, 2.0, 4.0]))

    def largest_change(**keys: object) -> float:
        recipe = spectral("directions", Band(count=1), **keys)
        change = streamed_change(recipe, NAME, donor, patient, factorise)
        return float(change.block(slice(None)).abs().max())

    # The largest vector of the patient is the donor's smallest: it has not turned at all.
    assert largest_change(pairing="similarity") < 1e-6
    assert largest_change() > 1


NAMES = [
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.1.self_attn.k_proj.weight",
    "model.layers.1.input_layernorm.weight",
]


def test_only_the_matrices_of_the_recipe_are_edited() -> None:
    assert edited_names(Recipe(name="r", part="rollback", layers=(1,)), NAMES) == [NAMES[2]]
    assert edited_names(Recipe(name="r", part="rollback"), NAMES) == NAMES[1:3]
    named = Recipe(name="r", part="rollback", matrices=("embed",))
    assert edited_names(named, NAMES) == NAMES[:1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"layers": (0, 2)}, "layers names 2"),  # Qwen's 28 layers, asked for 20-29
        ({"matrices": ("k", "head")}, "matrices names head"),
    ],
)
def test_layers_and_matrices_that_do_not_exist_are_refused(
    keys: dict[str, object], message: str
) -> None:
    recipe = Recipe.model_validate({"name": "r", "part": "rollback", **keys})
    with pytest.raises(ValueError, match=message):
        edited_names(recipe, NAMES)


def test_an_interpolation_that_was_not_matched_yet_is_refused() -> None:
    with pytest.raises(ValueError, match="match = norm:r has no amount yet"):
        Pair((6, 4), 0).change(Recipe(name="m", part="interpolate", match="norm:r"))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_the_norm_of_a_change_is_that_of_its_blocks(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("derotate.spectral.decompose.BLOCK", 5)
    change = Pair(shape, 0).change(spectral("both", Band(fraction=0.5)))
    assert change_norm(change) == pytest.approx(float(change.block(slice(None)).norm()))


@pytest.mark.parametrize(
    ("loss_at", "target", "amount"),
    [
        (lambda a: 1 + 2 * a, 1.5, 0.25),
        (lambda a: 3 - a**2, 2.75, 0.5),
        (lambda a: 1 + a, 1.0, 0.0),
        (lambda a: 1 + a, 2.0, 1.0),
    ],
)
def test_interpolation_is_matched_by_loss(
    loss_at: Callable[[float], float], target: float, amount: float
) -> None:
    found = interpolation_for_loss(loss_at, target)
    assert found.exact
    assert found.amount == pytest.approx(amount, abs=2e-3)


@pytest.mark.parametrize(("target", "nearer"), [(2.5, 1.0), (0.5, 0.0)])
@pytest.mark.parametrize("direction", [1, -1])
def test_without_a_match_the_end_whose_loss_is_nearer_is_taken(
    target: float, nearer: float, direction: int
) -> None:
    rising = lambda amount: 1 + amount if direction == 1 else 2 - amount  # noqa: E731
    expected = nearer if direction == 1 else 1 - nearer
    assert interpolation_for_loss(rising, target) == Match(expected, exact=False)
