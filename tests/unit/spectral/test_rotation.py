# SPDX-License-Identifier: MIT
"""Metrics of rotation are precise for small angles, sign-free, and agree with known geometry."""

import math

import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from derotate.spectral.decompose import factorise
from derotate.spectral.distance import relative_norm
from derotate.spectral.rotation import (
    donor_energy,
    principal_angles,
    spectra_rows,
    value_change,
    vector_angles,
)


def gaussian(shape: tuple[int, int], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(n: int, k: int, seed: int) -> Tensor:
    return torch.linalg.qr(gaussian((n, k), seed))[0]


@pytest.mark.parametrize("angle", [1e-6, 1e-4, 0.01, 1.0, 1.5])
def test_a_known_rotation_is_recovered_where_float32_arccos_fails(angle: float) -> None:
    frame = basis(50, 8, 0)
    before, outside = frame[:, :4], frame[:, 4:]
    after = before * math.cos(angle) + outside * math.sin(angle)
    expected = torch.full((4,), angle, dtype=torch.float64)
    torch.testing.assert_close(principal_angles(before, after), expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(vector_angles(before, after), expected, rtol=1e-3, atol=0)
    if angle <= 1e-4:
        overlap = torch.linalg.svdvals(before.float().T @ after.float()).clamp(max=1)
        published = overlap.arccos().double()
        assert ((published - expected).abs() / expected).max() > 0.1


@settings(deadline=None)
@given(n=st.integers(2, 30), share=st.floats(0.05, 1), seed=st.integers(0, 10**6))
def test_principal_angles_agree_with_scipy(n: int, share: float, seed: int) -> None:
    k = max(1, int(share * n))
    a, b = basis(n, k, seed), basis(n, k, seed + 1)
    expected = torch.from_numpy(scipy.linalg.subspace_angles(a.numpy(), b.numpy())).flip(0)
    torch.testing.assert_close(principal_angles(a, b), expected, rtol=1e-6, atol=1e-7)


def test_angles_do_not_see_signs_and_subspaces_do_not_see_their_basis() -> None:
    a, b, mix = basis(20, 5, 0), basis(20, 5, 1), basis(5, 5, 2)
    sign = torch.tensor([1.0, -1, 1, -1, -1], dtype=torch.float64)
    torch.testing.assert_close(vector_angles(a, b * sign), vector_angles(a, b))
    torch.testing.assert_close(principal_angles(a, b @ mix), principal_angles(a, b))
    assert vector_angles(a, -a).max() < 1e-12


def test_change_of_values_is_relative_to_the_donor_and_undefined_at_zero() -> None:
    donor = factorise(torch.diag(torch.tensor([4.0, 2.0, 0.0])))
    patient = factorise(torch.diag(torch.tensor([5.0, 1.0, 0.5])))
    change = value_change(donor, patient)
    torch.testing.assert_close(change[:2], torch.tensor([0.25, -0.5], dtype=torch.float64))
    assert change[2].isnan()


def test_relative_norm() -> None:
    assert relative_norm(torch.eye(4), 1.5 * torch.eye(4)) == pytest.approx(0.5)


def test_energy_tells_where_a_change_lies() -> None:
    weight = gaussian((12, 8), 0)
    donor = factorise(weight, torch.float64)
    u, v = donor.u, donor.v
    cases = {
        "inside": torch.outer(u[:, 0], v[:, 1]),
        "left": torch.outer(u[:, 0], v[:, 5]),
        "right": torch.outer(u[:, 5], v[:, 1]),
        "outside": torch.outer(u[:, 6], v[:, 5]),
    }
    for where, change in cases.items():
        energy = donor_energy(donor, weight, weight + 0.01 * change, 3)
        assert energy[where] == pytest.approx(1)
        assert energy["inside"] == pytest.approx(float(where == "inside"), abs=1e-9)
        assert energy["outside"] == pytest.approx(float(where == "outside"), abs=1e-9)
    # A change with a part in each block: what is outside is what both projections leave.
    change = gaussian((12, 8), 2)
    left_over = change - u[:, :3] @ (u[:, :3].T @ change)
    left_over = left_over - left_over @ v[:, :3] @ v[:, :3].T
    energy = donor_energy(donor, weight, weight + change, 3)
    assert energy["outside"] == pytest.approx(float((left_over.norm() / change.norm()) ** 2))
    isotropic = donor_energy(donor, weight, weight + gaussian((12, 8), 1), 8)
    assert isotropic["right"] == pytest.approx(1)


def test_rows_hold_every_metric_with_layer_kind_and_degrees() -> None:
    before = gaussian((10, 6), 0)
    turn = torch.linalg.matrix_exp(0.1 * (gaussian((10, 10), 1) - gaussian((10, 10), 1).T))
    after = turn @ before
    name = "model.layers.2.self_attn.v_proj.weight"
    rows = spectra_rows(
        name,
        factorise(before, torch.float64),
        factorise(after, torch.float64),
        before,
        after,
        [0.5],
    )
    assert all((row["matrix"], row["layer"], row["kind"]) == (name, 2, "v") for row in rows)
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(str(row["metric"]), []).append(float(str(row["value"])))
    assert {metric: len(found) for metric, found in values.items()} == {
        "relative_norm": 1,
        "donor_value": 6,
        "patient_value": 6,
        "value_change": 6,
        "left_angle": 6,
        "right_angle": 6,
        "left_principal_angle": 3,
        "right_principal_angle": 3,
        "energy_inside": 1,
        "energy_left": 1,
        "energy_right": 1,
        "energy_outside": 1,
    }
    # A rotation from the left turns U alone, and keeps every singular value.
    assert max(map(abs, values["value_change"])) < 1e-9
    assert max(values["right_angle"]) < 1e-6
    assert 1 < max(values["left_principal_angle"]) <= 90
