# SPDX-License-Identifier: MIT
"""A study may start from a pretrained model; what needs a base trained here is refused."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from derotate.config.model import PretrainedModel, TinyModel
from derotate.config.schema import Config, ConfigError, load
from derotate.resources.formulas import Size
from derotate.resources.model_size import SizeError, size_of
from derotate.resources.stages import evaluation, fetching, model_size, require_size, sft

COMMIT = "7ae557604adf67be50417f59c2c2f167def9a775"
HUB = {"pretrained": "Qwen/Qwen2.5-0.5B-Instruct", "revision": COMMIT}


def study(**values: Any) -> dict[str, Any]:
    """The config of a study with a pretrained model."""
    return {"style": "natural", "model": HUB, **values}


def test_the_key_pretrained_tells_which_model_is_meant() -> None:
    assert isinstance(load({}).model, TinyModel)
    assert isinstance(load({"model": {"layers": 2}}).model, TinyModel)
    assert load(study()).model == PretrainedModel(**HUB)


@pytest.mark.parametrize("folder", ["/models/qwen", "./models/qwen", "../qwen", "~/qwen"])
def test_a_folder_needs_no_revision(folder: str) -> None:
    model = load(study(model={"pretrained": folder})).model
    assert isinstance(model, PretrainedModel)
    assert model.is_folder


def test_a_config_with_all_keys_filled_in_is_the_same_study() -> None:
    config = load(study())
    assert load(config.model_dump(mode="json")) == config
    assert load(Config().model_dump(mode="json")) == Config()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (study(style="compact"), ("style: got compact", "expected natural")),
        ({"style": "natural"}, ("style: got natural with a tiny model", "expected compact")),
        (study(base={"steps": 7}), ("base: got steps", "no such block")),
        (study(base_seeds=[1, 2]), ("base_seeds: got [1, 2]", "expected one")),
        (
            study(phase={"base_steps": [3], "learning_rates": [0.1], "steps": [20]}),
            ("phase: got a phase diagram", "no such block"),
        ),
        (study(model={**HUB, "revision": "main"}), ("model: revision: got main", "40 hex")),
        (study(model={"pretrained": HUB["pretrained"]}), ("revision: got null", "40 hex")),
        (study(model={"pretrained": "./m", "revision": COMMIT}), ("revision", "remove it")),
        (study(model={"pretrained": "models/of/mine"}), ("pretrained", "owner/name", "./")),
        (study(model={"pretrained": 3}), ("config: model.pretrained: got 3", "string")),
        (study(model={**HUB, "dtype": "int8"}), ("config: model.dtype: got 'int8'", "bfloat16")),
        (study(model={**HUB, "heads": 2}), ("unknown key model.heads",)),
        (study(model={**HUB, "layers": 24}), ("parameters: got null", "together")),
        (
            study(
                model={**HUB, "layers": 4, "width": 8, "parameters": 99},
                surgery={
                    "recipes": [{"name": "late", "part": "rollback", "layers": [4]}],
                    "reverse": [],
                },
            ),
            ("surgery.recipes[late].layers: got [4]", "layers below 4"),
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(values: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        load(values)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def write_headers(folder: Path, shapes: dict[str, dict[str, list[int]]], config: Any) -> None:
    """Weights files that have headers only, and a config."""
    folder.mkdir(parents=True)
    for file, tensors in shapes.items():
        header = {name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]}
                  for name, shape in tensors.items()}  # fmt: skip
        text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(text)) + text)
    (folder / "config.json").write_text(json.dumps(config))


def test_the_size_of_a_model_is_read_from_the_headers_of_its_shards(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shards = {"model-00001-of-00002.safetensors": {"a": [3, 5], "b": [7]},
              "model-00002-of-00002.safetensors": {"c": [2, 2]}}  # fmt: skip
    write_headers(folder, shards, {"text_config": {"hidden_size": 5, "num_hidden_layers": 2}})
    model = PretrainedModel(pretrained=str(folder))
    assert size_of(model) == Size(parameters=26, width=5, layers=2, bytes_each=2)
    assert size_of(model.model_copy(update={"dtype": "float32"})).bytes_each == 4


def test_a_recipe_for_a_layer_that_the_folder_does_not_have_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_headers(folder, {"model.safetensors": {"a": [3, 5]}},
                  {"hidden_size": 5, "num_hidden_layers": 2})  # fmt: skip
    recipes = [{"name": "late", "part": "rollback", "layers": [1, 2]}]
    surgery = {"recipes": recipes, "reverse": []}
    config = load(study(model={"pretrained": str(folder)}, surgery=surgery))
    with pytest.raises(SizeError, match=r"recipes\[late\]\.layers: got \[2\].* below 2"):
        require_size(config)


def test_the_config_may_tell_the_size_of_a_model_that_is_not_here() -> None:
    told = {"parameters": 494_032_768, "layers": 24, "width": 896}
    config = load(study(model={**HUB, **told}))
    assert model_size(config) == Size(494_032_768, 896, 24, 2)
    assert fetching(config).disk > 2 * 494_032_768
    # AdamW's state alone is sixteen bytes for a parameter
    assert sft(config, (600,), gpu=True).memory > 16 * 494_032_768
    assert evaluation(config, gpu=True).seconds < evaluation(config).seconds


@pytest.mark.parametrize("name", ["./nowhere", "derotate-tests/no-such-model"])
def test_an_unknown_size_names_the_keys_that_tell_it(name: str) -> None:
    revision = None if name.startswith(".") else COMMIT
    with pytest.raises(SizeError) as error:
        size_of(PretrainedModel(pretrained=name, revision=revision))
    assert "\n" not in str(error.value)
    assert name in str(error.value)
    assert "give model.parameters, layers and width" in str(error.value)
