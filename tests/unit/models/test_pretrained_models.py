# SPDX-License-Identifier: MIT
"""Qwen2 and Llama 3.2 Vision are loaded, asked and scored as the tiny Llama is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_zoo
import pytest
import torch
from safetensors.torch import load_file, save_file

from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.evaluation.evaluate import Decoding, Item, reference_losses, respond
from derotate.models.checkpoint import CheckpointError, load, save
from derotate.models.kv_cache import use_growing_cache
from derotate.models.shards import open_shards
from derotate.models.tiny import tiny_tokenizer
from derotate.training.rollout import collate, score

WORDS = tuple(f"w{number}" for number in range(46))
PROMPTS = ["w1 w2 w3", "w9", "w4 w4 w8 w20 w7"]
MODELS: dict[str, Callable[[], Any]] = {
    "llama": model_zoo.llama,
    "qwen2": model_zoo.qwen2,
    "qwen2-tied": lambda: model_zoo.qwen2(tied=True),
    "mllama": model_zoo.mllama,
}


@pytest.fixture(params=MODELS, scope="module")
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each architecture, weights in bfloat16."""
    torch.set_num_threads(1)
    directory: Path = tmp_path_factory.mktemp("pretrained") / request.param
    model = MODELS[request.param]()
    model_zoo.power_law(model, seed=3)
    save(model.to(torch.bfloat16), tiny_tokenizer(WORDS), directory)
    return directory


def test_the_class_and_the_type_are_those_of_the_config(checkpoint: Path) -> None:
    model, _ = load(checkpoint)
    says = json.loads((checkpoint / "config.json").read_text())
    assert type(model).__name__ == says["architectures"][0]
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in load(checkpoint, dtype=torch.float32)[0].parameters()} == {
        torch.float32
    }


def test_a_saved_checkpoint_has_the_same_tensors_and_keeps_its_tying(
    checkpoint: Path, tmp_path: Path
) -> None:
    model, tokenizer = load(checkpoint)
    save(model, tokenizer, tmp_path / "again")
    before = load_file(checkpoint / "model.safetensors")
    after = load_file(tmp_path / "again" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    tied = checkpoint.name == "qwen2-tied"
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    assert open_shards(tmp_path / "again").tied == tied


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_answers_are_those_of_the_librarys_own_cache(checkpoint: Path, dtype: torch.dtype) -> None:
    model, tokenizer = load(checkpoint, dtype=dtype)
    answers = respond(model, tokenizer, PROMPTS, Decoding(max_new_tokens=40, batch_size=3))
    inputs = tokenizer(PROMPTS, padding=True, return_tensors="pt")
    own = model.generate(**inputs, do_sample=False, max_new_tokens=40)
    own = own[:, inputs["input_ids"].shape[1] :]
    assert answers == tokenizer.batch_decode(own, skip_special_tokens=True)
    with use_growing_cache(model), torch.no_grad():
        roomy = model.generate(**inputs, do_sample=False, max_new_tokens=40)
    assert torch.equal(roomy[:, -own.shape[1] :], own)


def test_losses_and_scores_are_those_of_the_whole_model(checkpoint: Path) -> None:
    model, tokenizer = load(checkpoint, dtype=torch.float32)
    contexts, responses = [[1, 5, 6], [1, 7]], [[8, 9, 2], [10, 2]]
    batch = collate(contexts, responses, tokenizer.pad_token_id, model.device)
    with torch.no_grad():
        scores = score(model, batch, temperature=0.7)
        alone = model(input_ids=torch.tensor([[1, 5, 6, 8, 9, 2]])).logits[0, 2:5] / 0.7
    expected = alone.log_softmax(-1).gather(-1, torch.tensor([[8], [9], [2]])).squeeze(-1)
    torch.testing.assert_close(scores.log_probs[0], expected, atol=1e-4, rtol=1e-4)
    items = [Item("1", "id", "test", "1", "w1 w2", "w3", lambda _: (True, ""), str)]
    losses = reference_losses(model, tokenizer, items)
    ids = torch.tensor([tokenizer("w1 w2 w3")["input_ids"] + [tokenizer.eos_token_id]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -3:-1]
    wanted = torch.nn.functional.cross_entropy(logits, ids[0, -2:]).item()
    assert losses == pytest.approx([wanted], abs=1e-4)


def test_scores_of_sixteen_bit_weights_are_in_float32(checkpoint: Path) -> None:
    model, tokenizer = load(checkpoint)
    batch = collate([[1, 5]], [[8, 2]], tokenizer.pad_token_id, model.device)
    scores = score(model, batch, temperature=1.0)
    assert scores.log_probs.dtype == scores.context_states.dtype == torch.float32


def test_the_matrices_to_edit_are_those_of_the_text_model(checkpoint: Path) -> None:
    names = list(load_file(checkpoint / "model.safetensors"))
    kinds = {name: kind for name in names if (kind := matrix_kind(name))}
    layers = [0, 2] if checkpoint.name == "mllama" else [0, 1]
    found = sorted(kind for kind in kinds.values() if kind[1] in DEFAULT_KINDS)
    # the second layer of the Mllama attends to images: of it just the MLP is a text matrix
    attention = {(layer, kind) for layer in layers for kind in "qkvo"}
    mlps = {(layer, kind) for layer in range(layers[-1] + 1) for kind in ("gate", "up", "down")}
    assert set(found) == attention | mlps
    assert len(found) == len(set(found))
    assert not [name for name in kinds if "vision" in name or "cross_attn" in name]
    ends = {kind[1] for kind in kinds.values()} - set(DEFAULT_KINDS)
    assert ends == ({"embed"} if checkpoint.name == "qwen2-tied" else {"embed", "head"})


def test_weights_under_a_prefix_that_the_class_does_not_have_are_named(
    checkpoint: Path, tmp_path: Path
) -> None:
    model, tokenizer = load(checkpoint)
    save(model, tokenizer, tmp_path / "wrong")
    file = tmp_path / "wrong" / "model.safetensors"
    tensors = {f"text_tower.{name}": tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as refused:
        load(tmp_path / "wrong")
    assert "\n" not in str(refused.value)
    assert "is missing: it would be left at random weights" in str(refused.value)
    assert "has text_tower." in str(refused.value)


@pytest.mark.parametrize("named", ["Qwen2Model", "pipeline", "NoSuchForCausalLM", None])
def test_only_a_language_model_that_the_config_names_is_loaded(
    tmp_path: Path, named: str | None
) -> None:
    save(model_zoo.qwen2(), tiny_tokenizer(WORDS), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text()) | {"architectures": [named]}
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"architectures in config.json is {named}"):
        load(tmp_path / "model")
