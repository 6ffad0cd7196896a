# SPDX-License-Identifier: MIT
"""A grid of recipes makes of a matrix what each recipe makes of it alone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.spectral import decompose as stream
from derotate.spectral import grid
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import Factors
from derotate.spectral.grid import streamed_grid
from derotate.surgery.edits import part_of, streamed_change

NAME = "model.layers.0.mlp.up_proj.weight"
SHAPES = [(40, 40), (64, 24), (24, 64)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks a matrix, the last one shorter."""
    monkeypatch.setattr(grid, "ROWS", 10)


def recipe(part: str, **keys: Any) -> Recipe:
    name = "-".join([part, *(str(value) for value in keys.values())]).lower()
    plain = "".join(letter for letter in name if letter.isalnum() or letter in "-.")
    return Recipe.model_validate({"name": plain, "part": part, **keys})


# in no order, with an empty band, a full one and the same band twice
NESTED = [
    recipe(part, band={"fraction": fraction})
    for part in ("values", "directions", "both")
    for fraction in (0.5, 0.0, 1.0, 0.2)
]
OTHERS = [
    recipe("directions", band={"fraction": 0.2, "where": "middle"}),
    recipe("both", band={"count": 3, "where": "bottom"}),
    recipe("directions", band={"fraction": 0.2}, pairing="similarity"),
    recipe("aligned", band={"fraction": 0.25}),
    recipe("random_rotation", band={"fraction": 0.25}, seed=3),
    recipe("random_norm", band={"fraction": 0.25}, seed=3),
    recipe("low_rank", rank=3),
]
WEIGHTS_ALONE = [recipe("rollback"), recipe("interpolate", amount=0.3)]


def pair(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Donor and patient, with singular values that spread."""
    generator = torch.Generator().manual_seed(sum(shape))
    scale = torch.logspace(0, -2, shape[1])
    donor = torch.randn(shape, generator=generator) * scale
    return donor, donor + 0.1 * scale * torch.randn(shape, generator=generator)


def whole_grid(recipes: list[Recipe], donor: Tensor, patient: Tensor) -> dict[str, Tensor]:
    """The weight that each recipe makes, put together of its blocks."""
    found = {one.name: torch.full(patient.shape, torch.nan) for one in recipes}
    for step in streamed_grid(recipes, NAME, donor, patient, factorise):
        part_of(found[step.recipe.name], step.rows).copy_(step.weight)
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_each_recipe_of_the_grid_makes_the_weight_that_it_makes_alone(
    shape: tuple[int, int],
) -> None:
    donor, patient = pair(shape)
    recipes = [*NESTED, *OTHERS, *WEIGHTS_ALONE]
    found = whole_grid(recipes, donor, patient)
    assert len(found) == len(recipes)
    for one in recipes:
        alone = streamed_change(one, NAME, donor, patient, factorise)
        blocks = [alone.block(rows) for rows in stream.tall(patient).blocks()]
        expected = torch.cat(blocks, dim=int(shape[0] < shape[1])).float()
        difference = float((found[one.name] - (patient + expected)).norm())
        assert difference <= 1e-6 * float(patient.norm()), one.name


def test_an_empty_band_changes_nothing() -> None:
    donor, patient = pair((64, 24))
    found = whole_grid(NESTED, donor, patient)
    assert torch.equal(found[recipe("both", band={"fraction": 0.0}).name], patient)


def test_each_weight_is_decomposed_once() -> None:
    donor, patient = pair((64, 24))
    seen: list[Tensor] = []

    def decompose(weight: Tensor) -> Factors:
        seen.append(weight)
        return factorise(weight)

    for _ in streamed_grid([*NESTED, *OTHERS], NAME, donor, patient, decompose):
        pass
    assert [weight is donor for weight in seen] == [True, False]


def test_what_is_made_of_the_weights_alone_needs_no_factors() -> None:
    steps = streamed_grid(WEIGHTS_ALONE, NAME, *pair((64, 24)), pytest.fail)
    assert {step.recipe.part for step in steps} == {"rollback", "interpolate"}
