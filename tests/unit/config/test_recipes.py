# SPDX-License-Identifier: MIT
"""Recipes: what a band selects, which tensors are edited, and what is refused in one line."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from derotate.config.recipes import Band, Recipe, check_recipes, matrix_kind

TOP = {"fraction": 0.2}


def test_recipes_are_read_without_torch() -> None:
    code = "import sys, derotate.config.recipes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(
    where=st.sampled_from(["top", "bottom", "middle"]),
    fraction=st.floats(0, 1),
    rank=st.integers(1, 700),
)
def test_band_holds_its_share_of_the_rank_in_its_place(
    where: str, fraction: float, rank: int
) -> None:
    indices = Band.model_validate({"where": where, "fraction": fraction}).indices(rank)
    assert len(indices) == round(fraction * rank)
    below, above = indices.start, rank - indices.stop
    assert min(below, above) >= 0
    if where == "top":
        assert below == 0
    elif where == "bottom":
        assert above == 0
    else:
        assert abs(below - above) <= 1


def test_count_above_the_rank_is_refused_not_clipped() -> None:
    # Clipped, the edit of narrow k and v matrices becomes a rollback (a fault of the code released
    # with arXiv 2509.12235).
    with pytest.raises(ValueError, match="count = 512, expected at most the matrix's rank 192"):
        Band(count=512).indices(192)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (3, "q")),
        ("model.layers.11.mlp.gate_proj.weight", (11, "gate")),
        ("language_model.model.layers.0.mlp.down_proj.weight", (0, "down")),
        ("model.language_model.layers.39.self_attn.o_proj.weight", (39, "o")),
        ("model.embed_tokens.weight", (None, "embed")),
        ("language_model.lm_head.weight", (None, "head")),
        ("model.layers.3.self_attn.q_proj.bias", None),
        ("model.layers.3.input_layernorm.weight", None),
        ("model.layers.3.cross_attn.q_proj.weight", None),
        ("vision_model.transformer.layers.3.self_attn.q_proj.weight", None),
        ("model.layers.3.mlp.q_proj.weight", None),
    ],
)
def test_matrix_kind_reads_text_model_names_only(
    name: str, expected: tuple[int | None, str] | None
) -> None:
    assert matrix_kind(name) == expected


def test_embedding_and_head_are_edited_only_when_named() -> None:
    plain = Recipe(name="all", part="rollback")
    head = Recipe(name="head", part="rollback", matrices=("head",), layers=(0,))
    assert plain.edits("model.layers.7.mlp.up_proj.weight")
    assert not plain.edits("lm_head.weight")
    assert not plain.edits("model.embed_tokens.weight")
    assert head.edits("lm_head.weight")
    assert not head.edits("model.layers.0.mlp.up_proj.weight")


def test_layers_restrict_exactly() -> None:
    recipe = Recipe(name="early", part="rollback", layers=(1,))
    assert recipe.edits("model.layers.1.mlp.up_proj.weight")
    assert not recipe.edits("model.layers.10.mlp.up_proj.weight")


@pytest.mark.parametrize(
    ("keys", "control"),
    [
        ({"part": "directions", "band": TOP}, False),
        ({"part": "low_rank", "rank": 4}, False),
        ({"part": "directions", "band": TOP, "donor": "base"}, True),
        ({"part": "rollback"}, True),
        ({"part": "interpolate", "amount": 0.4}, True),
        ({"part": "random_norm", "band": TOP, "seed": 3}, True),
    ],
)
def test_controls_are_told_from_surgery(keys: dict[str, object], control: bool) -> None:
    assert Recipe.model_validate({"name": "r", **keys}).control is control


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"part": "direction", "band": TOP}, "directions"),
        ({"part": "values"}, "needs band"),
        ({"part": "low_rank"}, "needs rank"),
        ({"part": "rollback", "band": TOP}, "band = .* has no meaning for part = rollback"),
        ({"part": "values", "band": TOP, "amount": 0.5}, "amount = 0.5 has no meaning"),
        ({"part": "rollback", "seed": 1}, "seed = 1 has no meaning"),
        ({"part": "interpolate"}, "expected exactly one"),
        ({"part": "interpolate", "amount": 0.5, "match": "norm:a"}, "expected exactly one"),
        ({"part": "interpolate", "match": "size:a"}, "match = size:a, expected norm:<recipe>"),
        ({"part": "interpolate", "amount": 1.5}, "less than or equal to 1"),
        ({"part": "interpolate", "amount": "0.5"}, "valid number"),
        ({"part": "values", "band": {}}, "expected exactly one"),
        ({"part": "values", "band": {"fraction": 0.1, "count": 3}}, "expected exactly one"),
        ({"part": "values", "band": {"fraction": 1.2}}, "less than or equal to 1"),
        ({"part": "values", "band": {"count": True}}, "valid integer"),
        ({"part": "values", "bands": TOP}, "Extra inputs are not permitted"),
        ({"part": "rollback", "layers": []}, "expected one or more different layers"),
        ({"part": "rollback", "layers": [1, 1]}, "expected one or more different layers"),
        ({"part": "rollback", "layers": [-1]}, "greater than or equal to 0"),
        ({"part": "rollback", "matrices": ["query"]}, r"matrices = \['query'\], expected"),
        ({"part": "random_rotation", "band": {"fraction": 1}}, "no principal angles"),
        ({"part": "rollback", "name": "../up"}, "pattern"),
    ],
)
def test_wrong_recipes_are_refused_with_key_and_expectation(
    keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({"name": "r", **keys})


def test_recipes_survive_a_dump() -> None:
    recipe = Recipe.model_validate({"name": "d", "part": "directions", "band": TOP, "layers": [0]})
    assert Recipe.model_validate(recipe.model_dump()) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_matches_name_an_unmatched_recipe_of_the_study() -> None:
    directions = Recipe(name="d", part="directions", band=Band(fraction=0.2))
    matched = Recipe(name="m", part="interpolate", match="norm:d")
    assert matched.reference == ("norm", "d")
    check_recipes([matched, directions])
    with pytest.raises(ValueError, match="match = norm:d, expected the name of a recipe"):
        check_recipes([matched])
    with pytest.raises(ValueError, match="match = id_loss:m"):
        check_recipes(
            [directions, matched, Recipe(name="n", part="interpolate", match="id_loss:m")]
        )
    with pytest.raises(ValueError, match="name = d is used twice"):
        check_recipes([directions, directions])
