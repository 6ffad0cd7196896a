# SPDX-License-Identifier: MIT
"""A variant in a loaded model is the checkpoint that would be written of it, at any precision."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
from model_zoo import llama, mllama, near, pair, power_law, qwen2, write

from derotate.config.recipes import Recipe
from derotate.config.surgery import Guards
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import open_compatible, open_pair
from derotate.models.shards import INDEX, open_shards
from derotate.spectral.decompose import factorise
from derotate.spectral.factor_sources import cached, stored
from derotate.spectral.factors import load_factors
from derotate.spectral.guards import GuardError
from derotate.stages import spectra
from derotate.stages.factors import factorise_checkpoint
from derotate.surgery import export
from derotate.surgery.apply import Surgery
from derotate.surgery.in_memory import distance_from_donor, set_variant

GUARDS = Guards(marchenko_pastur_distance=0.05, relative_change=0.5)
MODELS: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "qwen2": qwen2,
    "qwen2-tied": lambda: qwen2(tied=True),
    "mllama": mllama,
}
DIRECTIONS = Recipe.model_validate(
    {"name": "directions", "part": "directions", "band": {"fraction": 0.2}}
)
Sides = tuple[Path, Path]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sides]:
    """Donor and patient of each architecture, in shards of 20 kB."""
    torch.set_num_threads(1)
    return {
        name: pair(make(), tmp_path_factory.mktemp(name), shard="20KB")
        for name, make in MODELS.items()
    }


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    """Qwen2 in bfloat16, in shards, as models are published."""
    folder = tmp_path_factory.mktemp("bfloat16")
    model = qwen2()
    power_law(model, seed=1)
    donor = write(model.bfloat16(), folder / "donor", shard="20KB")
    near(model, seed=2)
    return donor, write(model, folder / "patient", shard="20KB")


def loaded(directory: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The model by the class in its config.json."""
    name = json.loads((directory / "config.json").read_text())["architectures"][0]
    return getattr(transformers, name).from_pretrained(directory, dtype=dtype).eval()


def surgery(sides: Sides, recipe: Recipe, folder: Path) -> Surgery:
    """The surgery of a pair as its rules do it: factors first, each in a file."""
    files = [folder / f"{side.name}.safetensors" for side in sides]
    for side, file in zip(sides, files, strict=True):
        if not file.exists():
            factorise_checkpoint(side, None, GUARDS, file, folder / "guards.csv")
    sources = stored(*map(load_factors, files), folder / "passing")
    return Surgery.resolve(open_compatible(*sides), recipe, sources)


@pytest.mark.parametrize("model", MODELS)
def test_a_variant_and_its_export_give_the_same_logits(
    pairs: dict[str, Sides], model: str, tmp_path: Path
) -> None:
    virtual = loaded(pairs[model][1])
    tokens = torch.arange(3, 23)[None]
    with torch.no_grad():
        before = virtual(input_ids=tokens).logits
        norm = set_variant(virtual, surgery(pairs[model], DIRECTIONS, tmp_path))
        done = export.operate(*pairs[model], DIRECTIONS, tmp_path / "out", GUARDS)
        own = virtual(input_ids=tokens).logits
        exported = loaded(tmp_path / "out")(input_ids=tokens).logits
    assert norm == pytest.approx(done.edit_norm)
    assert float((own - before).abs().max()) > 1e-3
    torch.testing.assert_close(own, exported, rtol=0, atol=1e-6)


def test_a_variant_in_bfloat16_is_its_export_bit_for_bit(short: Sides, tmp_path: Path) -> None:
    virtual = loaded(short[1], torch.bfloat16)
    set_variant(virtual, surgery(short, DIRECTIONS, tmp_path))
    export.operate(*short, DIRECTIONS, tmp_path / "out", GUARDS)
    written = open_shards(tmp_path / "out")
    assert (tmp_path / "out" / INDEX).is_file()
    assert {place.dtype for place in written.places.values()} == {"BF16"}
    for name, parameter in virtual.named_parameters():
        assert torch.equal(parameter, written[name]), name


def test_a_second_variant_has_nothing_of_the_first(pairs: dict[str, Sides], tmp_path: Path) -> None:
    model = loaded(pairs["qwen2"][1])
    head = Recipe(name="head", part="rollback", matrices=("head",))
    first_layer = Recipe(name="first", part="rollback", layers=(0,))
    of_head = surgery(pairs["qwen2"], head, tmp_path)
    set_variant(model, of_head)
    set_variant(model, of_head.with_recipe(Recipe(name="all", part="rollback")))
    of_first_layer = of_head.with_recipe(first_layer)
    set_variant(model, of_first_layer)
    donor, patient = (open_shards(side) for side in pairs["qwen2"])
    for name, parameter in model.named_parameters():
        source = donor if first_layer.edits(name) else patient
        assert torch.equal(parameter, source[name]), name
    assert distance_from_donor(model, of_first_layer) == 0


def test_an_embedding_that_is_named_is_decomposed_on_the_way(
    pairs: dict[str, Sides], tmp_path: Path
) -> None:
    values = Recipe.model_validate(
        {"name": "r", "part": "values", "band": {"fraction": 0.2}, "matrices": ("embed",)}
    )
    model = loaded(pairs["qwen2-tied"][1])
    kept = model.model.layers[0].mlp.up_proj.weight.clone()
    assert set_variant(model, surgery(pairs["qwen2-tied"], values, tmp_path)) > 0
    before = open_shards(pairs["qwen2-tied"][1])["model.embed_tokens.weight"]
    assert not torch.equal(model.get_output_embeddings().weight, before)
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, kept)
    assert not (tmp_path / "passing").exists()


def test_a_model_of_another_class_is_refused(pairs: dict[str, Sides], tmp_path: Path) -> None:
    text = transformers.AutoModelForCausalLM.from_pretrained(pairs["mllama"][1])
    assert type(text).__name__ != loaded(pairs["mllama"][1]).__class__.__name__
    with pytest.raises(CheckpointError, match=r"has no parameter model\.language_model"):
        set_variant(text, surgery(pairs["mllama"], DIRECTIONS, tmp_path))


def test_no_interpolation_of_equal_checkpoints_has_a_norm(
    pairs: dict[str, Sides], tmp_path: Path
) -> None:
    _, patient = pairs["llama"]
    line = Recipe(name="line", part="interpolate", match="norm:directions")
    same = Surgery.resolve(open_pair(patient, patient), line, cached(None, tmp_path))
    assert same.amount_of_norm(0.0) == 0.0
    with pytest.raises(CheckpointError, match="so no interpolation has norm 2"):
        same.amount_of_norm(2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_factors_of_shards_in_bfloat16_are_those_of_each_matrix(
    short: Sides, dtype: torch.dtype, tmp_path: Path
) -> None:
    out = tmp_path / "factors"
    factorise_checkpoint(short[1], short[0], GUARDS, out, tmp_path / "guards.csv", dtype)
    known, shards = load_factors(out), open_shards(short[1])
    assert list(known) == sorted(name for name in shards if "_proj.weight" in name)
    for name, found in known.items():
        expected = factorise(shards[name], dtype)
        assert found.u.dtype == dtype
        assert torch.equal(found.u, expected.u)
        assert torch.equal(found.s, expected.s)
        assert torch.equal(found.v, expected.v)
    assert pd.read_csv(tmp_path / "guards.csv")["relative_change"].between(0.02, 0.1).all()
    assert {path.name for path in tmp_path.iterdir()} == {"factors", "guards.csv"}


def test_one_matrix_of_random_weights_is_refused_and_no_factors_are_left(
    short: Sides, tmp_path: Path
) -> None:
    model = loaded(short[1])
    torch.nn.init.normal_(model.model.layers[1].mlp.gate_proj.weight, std=0.02)
    spoiled = write(model, tmp_path / "spoiled")
    with pytest.raises(GuardError, match=r"layers\.1\.mlp\.gate_proj\.weight has the spectrum"):
        factorise_checkpoint(spoiled, None, GUARDS, tmp_path / "f", tmp_path / "guards.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["spoiled"]


def test_spectra_of_shards_in_bfloat16(short: Sides, tmp_path: Path) -> None:
    surgery(short, DIRECTIONS, tmp_path)
    spectra.compare(
        donor=short[0],
        patient=short[1],
        donor_factors=tmp_path / "donor.safetensors",
        patient_factors=tmp_path / "patient.safetensors",
        out=tmp_path / "spectra.parquet",
    )
    table = pd.read_parquet(tmp_path / "spectra.parquet")
    assert table["matrix"].nunique() == 14
    assert set(table["against"]) == {"patient", "norm_null", "unrelated_null"}
    norms = table.query("metric == 'relative_norm' and against != 'unrelated_null'")
    sides = norms.pivot_table(index="matrix", columns="against", values="value")
    assert sides["patient"].between(0.02, 0.1).all()
    pd.testing.assert_series_equal(sides["patient"], sides["norm_null"], check_names=False)


def test_what_passes_through_a_cache_is_not_kept(short: Sides, tmp_path: Path) -> None:
    sources = cached(None, tmp_path / "passing")
    sides = [open_shards(side) for side in short]
    name = "model.layers.0.mlp.up_proj.weight"
    with sources(name, sides[0][name], sides[1][name]) as decompose:
        assert decompose(sides[1][name]).rank == 32
        assert (tmp_path / "passing").is_dir()
    assert not (tmp_path / "passing").exists()
