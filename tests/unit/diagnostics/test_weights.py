# SPDX-License-Identifier: MIT
"""Metrics of two weights follow geometry, and random changes give what the closed forms say."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from derotate.diagnostics.weight_table import COLUMNS, diagnose_pair, matrix_rows
from derotate.diagnostics.weights import (
    change_values,
    chordal_distance,
    column_alignment,
    direction_energy,
    energies,
    isotropic_energies,
    isotropic_residual,
    isotropic_sparsity,
    isotropic_stable_rank,
    projection_distance,
    residual,
    stable_rank,
    update_sparsity,
)
from derotate.spectral.angles import principal_angles
from derotate.spectral.decompose import factorise
from derotate.spectral.nulls import norm_null, unrelated_null
from derotate.spectral.random_matrices import unrelated_chordal
from derotate.spectral.rotation import donor_energy, spectra_rows

SHAPES = [(12, 12), (20, 8), (8, 20)]
NAME = "model.layers.2.self_attn.v_proj.weight"


def gaussian(shape: tuple[int, int], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(n: int, k: int, seed: int) -> Tensor:
    return torch.linalg.qr(gaussian((n, k), seed))[0]


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ([1], [1], "diagonal"),
        ([0], [2], "rotational"),
        ([0, 2], [2, 0], "rotational"),
        ([0], [5], "off_principal"),
        ([6], [1], "off_principal"),
        ([6], [5], "off_principal"),
    ],
)
def test_energies_tell_a_stretch_from_a_mix_and_from_what_is_off_principal(
    rows: list[int], columns: list[int], expected: str
) -> None:
    weight = gaussian((12, 8), 0)
    donor = factorise(weight, torch.float64)
    change = sum(
        torch.outer(donor.u[:, i], donor.v[:, j]) for i, j in zip(rows, columns, strict=True)
    )
    found = energies(donor, weight, weight + 0.01 * change, 3)
    assert found == {name: pytest.approx(float(name == expected), abs=1e-9) for name in found}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 8])
def test_energies_add_up_and_agree_with_those_of_the_four_blocks(
    shape: tuple[int, int], size: int
) -> None:
    weight, patient = gaussian(shape, 0), gaussian(shape, 1)
    donor = factorise(weight, torch.float64)
    own, blocks = energies(donor, weight, patient, size), donor_energy(donor, weight, patient, size)
    assert sum(own.values()) == pytest.approx(1)
    assert own["diagonal"] + own["rotational"] == pytest.approx(blocks["inside"])
    assert own["off_principal"] == pytest.approx(
        blocks["left"] + blocks["right"] - 2 * blocks["inside"] + blocks["outside"], abs=1e-12
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_random_changes_have_the_expected_energies_and_residual(shape: tuple[int, int]) -> None:
    weight, size, norm, draws = gaussian(shape, 0), 3, 0.5, 400
    donor = factorise(weight, torch.float64)
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(draws):
        patient = norm_null(weight, norm, generator)
        found.append(
            {
                **energies(donor, weight, patient, size),
                **donor_energy(donor, weight, patient, size),
                "residual": residual(donor, patient, size),
            }
        )
    table = pd.DataFrame(found)
    expected = isotropic_energies(shape, size) | {"residual": isotropic_residual(donor, norm, size)}
    assert set(table) == set(expected)
    errors = table.std() / math.sqrt(draws)
    for name, value in expected.items():
        assert abs(table[name].mean() - value) < 4.5 * errors[name]


def test_the_residual_is_zero_for_the_donor_and_what_a_scale_adds_or_takes() -> None:
    weight = gaussian((10, 6), 0)
    donor = factorise(weight, torch.float64)
    for scale in (0.0, 0.5, 1.0, 1.5):
        assert residual(donor, scale * weight, 4) == pytest.approx(1 - scale**2)


@pytest.mark.parametrize("angle", [1e-6, 0.01, 1.0, math.pi / 2])
def test_distances_of_a_subspace_turned_by_a_known_angle(angle: float) -> None:
    frame = basis(50, 8, 0)
    before, outside = frame[:, :4], frame[:, 4:]
    after = before * math.cos(angle) + outside * math.sin(angle)
    angles = principal_angles(before, after)
    assert chordal_distance(angles) == pytest.approx(math.sin(angle), rel=1e-6)
    assert projection_distance(angles) == pytest.approx(math.sqrt(8) * math.sin(angle), rel=1e-6)
    projections = before @ before.T - after @ after.T
    assert projection_distance(angles) == pytest.approx(float(projections.norm()), rel=1e-6)
    assert column_alignment(before, after) == pytest.approx(abs(math.cos(angle)), abs=1e-9)


def test_alignment_finds_vectors_that_swapped_or_changed_sign() -> None:
    own = basis(20, 5, 0)
    assert column_alignment(own, -own.flip(1)) == pytest.approx(1)
    assert column_alignment(own[:, :2], own[:, 2:]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("side", ["u", "v"])
def test_unrelated_weights_are_at_the_distance_of_random_subspaces(side: str) -> None:
    shape, size = (60, 40), 10
    squares = []
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        first, second = (factorise(w, torch.float64) for w in unrelated_null(shape, generator))
        angles = principal_angles(getattr(first, side)[:, :size], getattr(second, side)[:, :size])
        squares.append(chordal_distance(angles) ** 2)
    expected = unrelated_chordal(size, shape["uv".index(side)]) ** 2
    assert abs(np.mean(squares) - expected) < 4.5 * np.std(squares) / math.sqrt(30)


def test_direction_energy_is_the_angle_of_what_has_the_energy() -> None:
    values = torch.tensor([3.0, 1.0, 0.0])
    assert direction_energy(torch.full((3,), 0.7), values) == pytest.approx(0.7)
    assert direction_energy(torch.tensor([0.0, 1.0, 9.0]), values) == pytest.approx(0.1)


def test_sparsity_counts_entries_by_relative_change() -> None:
    before = torch.tensor([[1.0, 1.0, 0.0, -2e-6]])
    after = torch.tensor([[1.0005, 1.002, 0.0, 2e-6]])
    assert update_sparsity(before, after) == 0.5
    assert update_sparsity(before, after, tolerance=0.01) == 0.75
    assert update_sparsity(before, before) == 1.0


def test_what_a_stored_bfloat16_weight_cannot_show_is_unchanged() -> None:
    before = gaussian((100, 100), 0).bfloat16()
    after = (before.double() * (1 + 0.9e-3)).bfloat16()
    assert torch.equal(before, after)
    assert update_sparsity(before, before.double() * (1 + 0.9e-3)) == 1.0


@pytest.mark.parametrize("ratio", [1e-3, 0.01, 0.1])
def test_a_random_change_of_random_weights_has_the_expected_sparsity(ratio: float) -> None:
    weight = gaussian((500, 400), 0)
    patient = norm_null(weight, ratio * float(weight.norm()), torch.Generator().manual_seed(1))
    expected = isotropic_sparsity(ratio)
    error = math.sqrt(expected * (1 - expected) / weight.numel())
    assert abs(update_sparsity(weight, patient) - expected) < 4.5 * error


def test_stable_rank_of_known_changes() -> None:
    weight = gaussian((9, 5), 0)
    one = torch.outer(torch.ones(9), torch.ones(5)).double()
    assert stable_rank(change_values(weight, weight + one)) == pytest.approx(1)
    equal = torch.eye(9, 5, dtype=torch.float64)
    torch.testing.assert_close(
        change_values(weight, weight + 2 * equal), torch.full((5,), 2.0, dtype=torch.float64)
    )
    assert stable_rank(change_values(weight, weight + 2 * equal)) == pytest.approx(5)


def test_the_stable_rank_of_a_random_change_nears_the_expected_one_from_above() -> None:
    excess = [
        stable_rank(change_values(torch.zeros(shape), gaussian(shape, 1)))
        / isotropic_stable_rank(shape)
        for shape in ((30, 20), (300, 200))
    ]
    assert 1.2 > excess[0] > excess[1] > 1
    assert excess[1] == pytest.approx(1.06, abs=0.03)


def test_the_table_joins_that_of_spectra_and_has_what_chance_gives() -> None:
    weight, patient = gaussian((10, 6), 0), gaussian((10, 6), 1)
    donor, after = factorise(weight, torch.float64), factorise(patient, torch.float64)
    table = diagnose_pair({NAME: weight}, {NAME: patient}, {NAME: donor}, {NAME: after}, [0.5])
    spectra = pd.DataFrame(spectra_rows(NAME, donor, after, weight, patient, [0.5]))
    assert list(table) == list(COLUMNS) == list(spectra)
    assert (table["layer"] == 2).all() and (table["kind"] == "v").all()
    keys = ["matrix", "against", "metric", "fraction", "index"]
    assert not pd.concat([table, spectra]).duplicated(keys).any()
    known = set(table.query("against == 'patient'")["metric"]) | set(spectra["metric"])
    assert set(table["metric"]) <= known
    assert table["value"].notna().all()
    inside = table.query("against == 'random_change' and metric == 'energy_inside'")["value"]
    assert inside.tolist() == [pytest.approx(9 / 60)]


def test_an_unchanged_weight_has_no_energy_to_share_and_is_wholly_sparse() -> None:
    weight = gaussian((10, 6), 0)
    own = factorise(weight, torch.float64)
    rows = pd.DataFrame(matrix_rows(NAME, own, own, weight, weight, [0.5])).set_index("metric")
    assert rows.loc["change_value", "value"].max() == 0
    assert (
        rows.loc[["stable_rank", "energy_diagonal", "energy_off_principal"], "value"].isna().all()
    )
    assert rows.loc["update_sparsity", "value"] == isotropic_sparsity(0.0) == 1
    assert rows.loc["left_chordal_distance", "value"] == pytest.approx(0, abs=1e-7)


def test_factors_of_different_matrices_are_refused() -> None:
    weight = gaussian((10, 6), 0)
    with pytest.raises(ValueError, match="only one checkpoint has them"):
        diagnose_pair({NAME: weight}, {NAME: weight}, {NAME: factorise(weight)}, {}, [0.5])
