# SPDX-License-Identifier: MIT
"""Sharded checkpoints are read tensor by tensor; what must not be used is refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_zoo import llama, mllama, pair, qwen2
from safetensors.torch import load_file, save_file

from derotate.models.checkpoint import CheckpointError
from derotate.models.compatibility import module_names, require_same_model
from derotate.models.shards import INDEX, WEIGHTS, open_shards, require_finite

MATRIX = "model.layers.1.mlp.down_proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with donor and patient, Qwen2 in shards of 20 kB."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("qwen2")
    pair(qwen2(), folder, shard="20KB")
    return folder


@pytest.fixture
def spoiled(good: Path, tmp_path: Path) -> Path:
    """A copy of the patient to spoil."""
    return shutil.copytree(good / "patient", tmp_path / "spoiled")


def rewrite(checkpoint: Path, change: Callable[[Tensors], object], name: str = MATRIX) -> None:
    """Change the tensors of the shard with the named tensor, and the index with them."""
    index = json.loads((checkpoint / INDEX).read_text())
    shard = index["weight_map"][name]
    tensors = load_file(checkpoint / shard)
    change(tensors)
    save_file(tensors, checkpoint / shard, metadata={"format": "pt"})
    kept = {key: file for key, file in index["weight_map"].items() if file != shard}
    index["weight_map"] = kept | dict.fromkeys(tensors, shard)
    (checkpoint / INDEX).write_text(json.dumps(index))


def set_config(checkpoint: Path, **keys: object) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | keys))


def refusal(action: Callable[[], object]) -> str:
    """The message of a refusal: one line."""
    with pytest.raises(CheckpointError) as refused:
        action()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_shards_hold_what_the_model_has(good: Path) -> None:
    shards = open_shards(good / "patient")
    assert len(shards.files) > 2
    stored = {name: tensor for file in shards.files for name, tensor in load_file(file).items()}
    assert shards.keys() == stored.keys()
    for name, place in shards.places.items():
        assert torch.equal(shards[name], stored[name])
        with place.file.open("rb") as file:
            file.seek(place.start)
            assert file.read(place.size) == stored[name].numpy().tobytes()


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    donor, _ = pair(llama(), tmp_path)
    assert (donor / WEIGHTS).is_file()
    assert open_shards(donor).keys() == load_file(donor / WEIGHTS).keys()


def test_a_missing_shard_is_named(spoiled: Path) -> None:
    shard = sorted(spoiled.glob("*.safetensors"))[1]
    shard.unlink()
    assert f"shard {shard.name} is missing" in refusal(lambda: open_shards(spoiled))


def test_a_shard_that_is_cut_short_is_named(spoiled: Path) -> None:
    shard = sorted(spoiled.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-4])
    assert shard.name in refusal(lambda: open_shards(spoiled))


def test_a_shard_without_a_tensor_of_the_index_is_refused(spoiled: Path) -> None:
    index = (spoiled / INDEX).read_text()
    rewrite(spoiled, lambda tensors: tensors.pop(MATRIX))
    (spoiled / INDEX).write_text(index)
    assert MATRIX in refusal(lambda: open_shards(spoiled))


def test_an_index_cannot_lead_out_of_its_directory(spoiled: Path) -> None:
    (spoiled / INDEX).write_text(json.dumps({"weight_map": {"a": "../donor/model.safetensors"}}))
    assert "expected a file name" in refusal(lambda: open_shards(spoiled))


def test_pickled_weights_are_refused(spoiled: Path) -> None:
    for file in spoiled.glob("model*"):
        file.unlink()
    (spoiled / "pytorch_model.bin").write_bytes(b"")
    assert "pickled weights only (pytorch_model.bin)" in refusal(lambda: open_shards(spoiled))


def test_a_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    assert "no config.json" in refusal(lambda: open_shards(tmp_path / "nowhere"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(spoiled: Path, value: float) -> None:
    require_finite(open_shards(spoiled))
    rewrite(spoiled, lambda tensors: tensors[MATRIX][3].fill_(value))
    assert MATRIX in refusal(lambda: require_finite(open_shards(spoiled)))


def test_donor_and_patient_of_one_model_are_accepted(good: Path) -> None:
    require_same_model(open_shards(good / "donor"), open_shards(good / "patient"))


def different(good: Path, spoiled: Path) -> str:
    return refusal(lambda: require_same_model(open_shards(good / "donor"), open_shards(spoiled)))


def test_another_architecture_is_refused(good: Path, tmp_path: Path) -> None:
    assert "model_type" in different(good, pair(llama(), tmp_path)[1])


def test_another_tying_is_refused(good: Path, tmp_path: Path) -> None:
    assert "tying of head and embedding differs: not and tied" in different(
        good, pair(qwen2(tied=True), tmp_path)[1]
    )


def test_another_vocabulary_is_refused(good: Path, spoiled: Path, tmp_path: Path) -> None:
    def tokenizer(tokens: list[str]) -> str:
        vocabulary = {token: number for number, token in enumerate(tokens)}
        return json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []})

    donor = shutil.copytree(good / "donor", tmp_path / "donor")
    (donor / "tokenizer.json").write_text(tokenizer(["a", "b"]))
    (spoiled / "tokenizer.json").write_text(tokenizer(["b", "a"]))
    message = refusal(lambda: require_same_model(open_shards(donor), open_shards(spoiled)))
    assert "vocabularies differ in tokenizer.json" in message
    (spoiled / "tokenizer.json").write_text(tokenizer(["a", "b"]))
    require_same_model(open_shards(donor), open_shards(spoiled))
    set_config(spoiled, vocab_size=51)
    assert "vocab_size: 50 and 51" in different(good, spoiled)


def test_a_dropped_tensor_is_named(good: Path, spoiled: Path) -> None:
    rewrite(spoiled, lambda tensors: tensors.pop(MATRIX))
    message = different(good, spoiled)
    assert MATRIX in message
    assert "missing;" in message


def test_a_renamed_tensor_is_named_with_its_new_name(good: Path, spoiled: Path) -> None:
    def rename(tensors: Tensors) -> None:
        tensors["model.layers.1.mlp.down.weight"] = tensors.pop(MATRIX)

    rewrite(spoiled, rename)
    message = different(good, spoiled)
    assert MATRIX in message or "model.layers.1.mlp.down.weight" in message
    assert "renamed" in message


def test_a_tensor_of_another_shape_is_named(good: Path, spoiled: Path) -> None:
    rewrite(spoiled, lambda tensors: tensors.update({MATRIX: torch.zeros(32, 47)}))
    message = different(good, spoiled)
    assert f"tensor {MATRIX} is [32, 48], expected [32, 47]" in message


@pytest.mark.parametrize("tied", [True, False])
def test_qwen2_tensors_are_named_as_its_parameters(tmp_path: Path, tied: bool) -> None:
    shards = open_shards(pair(qwen2(tied), tmp_path)[1])
    names = module_names(shards)
    assert names == {name: name for name in shards}
    assert ("lm_head.weight" in names) != tied


def test_the_prefix_of_mllama_is_followed(tmp_path: Path) -> None:
    names = module_names(open_shards(pair(mllama(), tmp_path)[1]))
    name = "language_model.model.layers.0.mlp.down_proj.weight"
    assert names[name] == "model.language_model.layers.0.mlp.down_proj.weight"


def test_a_prefix_that_leaves_weights_random_is_named(spoiled: Path) -> None:
    index = json.loads((spoiled / INDEX).read_text())
    for shard in set(index["weight_map"].values()):
        tensors = load_file(spoiled / shard)
        save_file({f"text.{name}": tensor for name, tensor in tensors.items()}, spoiled / shard)
    index["weight_map"] = {f"text.{name}": file for name, file in index["weight_map"].items()}
    (spoiled / INDEX).write_text(json.dumps(index))
    message = refusal(lambda: module_names(open_shards(spoiled)))
    assert "parameter model.embed_tokens.weight would be left at random weights" in message
    assert "the checkpoint has text.model.embed_tokens.weight" in message


def test_a_tensor_that_no_parameter_takes_is_named(spoiled: Path) -> None:
    rewrite(spoiled, lambda tensors: tensors.update({"extra.weight": torch.zeros(2)}))
    assert "extra.weight is not a parameter of Qwen2ForCausalLM" in refusal(
        lambda: module_names(open_shards(spoiled))
    )


def test_a_config_of_other_sizes_is_refused(spoiled: Path) -> None:
    set_config(spoiled, intermediate_size=40)
    message = refusal(lambda: module_names(open_shards(spoiled)))
    assert "expected" in message and "as config.json says" in message


def test_an_unknown_class_is_refused(spoiled: Path) -> None:
    set_config(spoiled, architectures=["NoSuchModel"])
    assert "NoSuchModel" in refusal(lambda: module_names(open_shards(spoiled)))
