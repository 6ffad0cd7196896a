# SPDX-License-Identifier: MIT
"""A checkpoint that must not be used is refused in one line; a killed save is cleaned up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from derotate.config.model import TinyModel
from derotate.config.surgery import Guards
from derotate.models.checkpoint import CheckpointError, load, load_state, load_without_weights, save
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.spectral.guards import GuardError
from derotate.stages.factors import factorise_checkpoint

TINY = TinyModel(hidden_size=32, intermediate_size=48, layers=2, heads=2)
MATRIX = "model.layers.1.mlp.down_proj.weight"

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, as training starts from."""
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("checkpoints") / "good"
    tokenizer = tiny_tokenizer(("a", "b"))
    save(tiny_model(TINY, tokenizer, seed=1), tokenizer, directory)
    return directory


@pytest.fixture
def checkpoint(good: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(good, tmp_path / "checkpoint")


def rewrite(checkpoint: Path, change: Callable[[Tensors], object]) -> None:
    """Change the tensors of a checkpoint's file."""
    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def refusal(checkpoint: Path) -> str:
    """The message with which a checkpoint is refused: one line that names it."""
    with pytest.raises(CheckpointError) as refused:
        load(checkpoint)
    message = str(refused.value)
    assert "\n" not in message
    assert str(checkpoint) in message
    return message


def test_a_saved_checkpoint_is_read_back_bit_for_bit(good: Path) -> None:
    model, tokenizer = load(good)
    written = load_state(good)
    assert written.keys() == model.state_dict().keys()
    assert all(torch.equal(written[name], own) for name, own in model.state_dict().items())
    assert tokenizer("a b")["input_ids"] == tiny_tokenizer(("a", "b"))("a b")["input_ids"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_without_weights_has_the_architecture(good: Path, dtype: torch.dtype) -> None:
    whole, empty = load(good, dtype=dtype)[0], load_without_weights(good, dtype=dtype)[0]
    shapes = [(name, weight.shape, weight.dtype) for name, weight in whole.named_parameters()]
    assert [(name, room.shape, room.dtype) for name, room in empty.named_parameters()] == shapes
    assert len({room.data_ptr() for room in empty.parameters()}) == len(shapes)
    for buffer, own in zip(empty.buffers(), whole.buffers(), strict=True):
        assert torch.equal(buffer, own)
    assert empty.generation_config.to_dict() == whole.generation_config.to_dict()


def test_a_model_without_weights_takes_no_memory(good: Path, tmp_path: Path) -> None:
    large = json.loads((good / "config.json").read_text())
    large |= {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 8}
    shutil.copy(good / "tokenizer.json", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(large))
    before = anonymous_bytes()
    model, _ = load_without_weights(tmp_path)
    held = sum(parameter.nbytes for parameter in model.parameters())
    assert held > 400e6
    assert anonymous_bytes() - before < held / 10


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


@pytest.mark.parametrize("name", [MATRIX, "model.norm.weight", "lm_head.weight"])
def test_a_missing_tensor_is_not_left_at_random_weights(checkpoint: Path, name: str) -> None:
    rewrite(checkpoint, lambda tensors: tensors.pop(name))
    message = refusal(checkpoint)
    assert f"tensor {name} is missing" in message
    assert "save the checkpoint again" in message


def test_a_tensor_that_the_architecture_does_not_have_is_named(checkpoint: Path) -> None:
    name = "model.layers.7.mlp.down_proj.weight"
    rewrite(checkpoint, lambda tensors: tensors.update({name: torch.zeros(2, 2)}))
    assert f"tensor {name} is not part of the architecture" in refusal(checkpoint)


def test_weights_under_a_wrong_prefix_are_refused(checkpoint: Path) -> None:
    def put_prefix(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[f"language_model.{name}"] = tensors.pop(name)

    rewrite(checkpoint, put_prefix)
    assert "is missing" in refusal(checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_no_number_is_named(checkpoint: Path, value: float) -> None:
    rewrite(checkpoint, lambda tensors: tensors[MATRIX][0, 0].fill_(value))
    message = refusal(checkpoint)
    assert f"tensor {MATRIX} holds a NaN or infinity" in message
    assert "train again" in message


def test_a_tensor_of_another_shape_is_named(checkpoint: Path) -> None:
    rewrite(checkpoint, lambda tensors: tensors.update({MATRIX: torch.zeros(32, 47)}))
    message = refusal(checkpoint)
    assert MATRIX in message
    assert "shape" in message


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_weights_file_that_was_cut_is_unreadable(checkpoint: Path, share: float) -> None:
    file = checkpoint / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "not a readable safetensors file" in refusal(checkpoint)


def test_pickled_weights_are_not_read(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    torch.save(load_file(weights), checkpoint / "pytorch_model.bin")
    weights.unlink()
    assert "convert them" in refusal(checkpoint)


@pytest.mark.parametrize("text", [None, "{", "{}", json.dumps({"model_type": "no-such-model"})])
def test_a_directory_without_a_usable_config_is_refused(checkpoint: Path, text: str | None) -> None:
    config = checkpoint / "config.json"
    config.unlink() if text is None else config.write_text(text)
    assert "cannot be loaded" in refusal(checkpoint)


def test_a_checkpoint_without_its_tokenizer_is_refused(checkpoint: Path) -> None:
    for file in checkpoint.glob("tokenizer*"):
        file.unlink()
    assert "cannot be loaded" in refusal(checkpoint)


def factorise(checkpoint: Path, reference: Path | None, folder: Path, guards: Guards) -> None:
    factorise_checkpoint(
        checkpoint, reference, guards, folder / "factors.safetensors", folder / "guards.csv"
    )


def test_random_weights_have_no_spectrum_worth_reading(good: Path, tmp_path: Path) -> None:
    with pytest.raises(GuardError) as refused:
        factorise(good, None, tmp_path, Guards())
    message = str(refused.value)
    assert "\n" not in message
    assert str(good) in message
    assert "random weights" in message
    assert "expected at least 0.1" in message
    assert not list(tmp_path.iterdir())


def test_weights_of_another_model_are_refused_by_their_distance(
    good: Path, checkpoint: Path, tmp_path: Path
) -> None:
    rewrite(checkpoint, lambda tensors: tensors[MATRIX].mul_(2.0))
    with pytest.raises(GuardError, match=rf"{MATRIX} differs from the reference by 1\.000"):
        factorise(checkpoint, good, tmp_path, Guards(marchenko_pastur_distance=0.0))


def test_a_guard_that_only_warns_records_what_it_measured(good: Path, tmp_path: Path) -> None:
    factorise(good, None, tmp_path, Guards(action="warn"))
    measured = pd.read_csv(tmp_path / "guards.csv")
    assert MATRIX in set(measured["matrix"])
    assert measured["marchenko_pastur_distance"].median() < 0.1


def test_a_save_removes_what_a_killed_one_left_beside_it(good: Path, tmp_path: Path) -> None:
    killed = tmp_path / ".checkpoint.scratch" / "model.safetensors"
    killed.parent.mkdir()
    killed.write_bytes(b"half")
    save(*load(good), tmp_path / "checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    load(tmp_path / "checkpoint")
