# SPDX-License-Identifier: MIT
"""The nulls: random weights are recognised, and give the angles that geometry predicts."""

import math

import pytest
import torch
from scipy.integrate import quad

from derotate.spectral.angles import principal_angles
from derotate.spectral.decompose import factorise
from derotate.spectral.distance import marchenko_pastur_distance, relative_norm
from derotate.spectral.nulls import norm_null, unrelated_null
from derotate.spectral.random_matrices import marchenko_pastur_cdf

SHAPES = [(64, 64), (200, 64), (64, 200), (128, 352)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.02, 1.0])
def test_random_weights_follow_the_marchenko_pastur_law(
    shape: tuple[int, int], scale: float
) -> None:
    for seed in range(5):
        weight = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        assert marchenko_pastur_distance(torch.linalg.svdvals(weight), shape) < 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_power_law_spectra_are_far_from_random(shape: tuple[int, int]) -> None:
    values = torch.arange(1, min(shape) + 1).double() ** -0.5
    assert marchenko_pastur_distance(values, shape) > 0.2


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.9, 1.0])
def test_the_law_in_closed_form_is_the_integral_of_its_density(ratio: float) -> None:
    low, high = (1 - math.sqrt(ratio)) ** 2, (1 + math.sqrt(ratio)) ** 2

    def density(x: float) -> float:
        return math.sqrt((high - x) * (x - low)) / (2 * math.pi * ratio * x)

    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        x = low + share * (high - low)
        expected, _ = quad(density, low, x)
        found = float(marchenko_pastur_cdf(x, ratio))
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "values", [torch.zeros(3), torch.ones(2), torch.tensor([1.0, 1, torch.nan])]
)
def test_what_is_no_spectrum_is_refused(values: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        marchenko_pastur_distance(values, (3, 5))


def test_the_norm_null_moves_the_donor_by_the_norm_and_turns_it_little() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.diag(torch.linspace(1, 40, 40)) @ torch.eye(40, 60)
    moved = norm_null(weight, 0.01 * float(weight.norm()), generator)
    assert relative_norm(weight, moved) == pytest.approx(0.01, rel=1e-6)
    before, after = (factorise(w, torch.float64) for w in (weight, moved))
    assert principal_angles(before.u[:, :5], after.u[:, :5]).max().rad2deg() < 30


def test_unrelated_matrices_have_the_chordal_distance_of_random_subspaces() -> None:
    # sqrt(1 - k / n), which the released figures reach (arXiv 2509.12235, released spectra).
    first, second = unrelated_null((160, 40), torch.Generator().manual_seed(0))
    angles = principal_angles(*(factorise(weight, torch.float64).u for weight in (first, second)))
    chordal = float(angles.sin().square().mean().sqrt())
    assert chordal == pytest.approx(math.sqrt(1 - 40 / 160), abs=0.01)
