# SPDX-License-Identifier: MIT
"""Hugging Face model directories: saved aside and moved into place, guarded when loaded.

A checkpoint is trusted only when every tensor the architecture has is there, none is left over and
none holds a NaN: the papers' own spectra are those of random weights, since a load under the wrong
prefix left them in place without a word (papers.md 0.1).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from derotate.files.scratch import scratch

FILES = ("config.json", "model.safetensors")
"""What a rule declares of a checkpoint; the tokenizer and generation config lie beside them."""
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""The files of which a tokenizer has at least one."""
AS_SAVED = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Names of the class, new and old, of a tokenizer that is all in its tokenizer.json."""


class CheckpointError(ValueError):
    """A checkpoint that must not be used: one line with tensor, expectation and remedy."""


def save(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write model and tokenizer to `directory`; a kill leaves the old files or the new, not a mix.

    Each file is written in a sibling folder and moved over its namesake, the weights last.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with scratch(directory) as aside:
        model.save_pretrained(aside, max_shard_size="1TB")
        tokenizer.save_pretrained(aside)
        move_into_place(aside, directory)


def move_into_place(aside: Path, directory: Path) -> None:
    """Move the files of a folder into the directory of a checkpoint, the weights last."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in sorted(aside.iterdir(), key=lambda file: file.name == "model.safetensors"):
        os.replace(file, directory / file.name)


def load(
    directory: Path, *, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> tuple[Any, Any]:
    """Model (evaluation mode) and tokenizer of a checkpoint, guarded.

    The model is of the class that config.json names under `architectures`; one that can also see is
    used for text alone.

    Args:
        directory: of the checkpoint.
        dtype: of the weights; by default the one in config.json, which all checkpoints of a study
            have from its base.
        device: where they go, by default the CPU's memory.

    Raises:
        CheckpointError: the directory is no checkpoint, a tensor is missing, left over, of another
            shape or holds a NaN.
    """
    for _ in _tensors(directory):
        pass
    model_class, own_dtype = _class_and_dtype(directory)
    try:
        model, info = model_class.from_pretrained(
            directory,
            dtype=dtype or own_dtype,
            output_loading_info=True,
            local_files_only=True,
            # not ignored: named below, which the library's own error does not
            ignore_mismatched_sizes=True,
        )
        tokenizer = load_tokenizer(directory)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{directory}: cannot be loaded ({reason}); expected config.json and tokenizer of a "
            "Hugging Face model beside its weights, make or copy the checkpoint again"
        ) from None
    for problem, expected in (
        ("missing_keys", "is missing: it would be left at random weights"),
        ("unexpected_keys", "is not part of the architecture in config.json"),
        ("mismatched_keys", "has another shape than config.json says"),
    ):
        # a mismatch comes as its name and both shapes
        keys = (key if isinstance(key, str) else key[0] for key in info[problem])
        named = [(_under_other_prefix(key, info), key) for key in sorted(keys)]
        if named:
            # one that is there under another name says most
            elsewhere, key = max(named, key=lambda pair: bool(pair[0]))
            raise CheckpointError(
                f"{directory}: tensor {key} {expected}{elsewhere}; save the checkpoint again from "
                "its model"
            )
    return model.to(device).eval() if device else model.eval(), tokenizer


def outline(directory: Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """As `load` without weights, for a process that gets its part of them from another.

    The model has memory for them that nothing has touched, so that it takes none. On the device
    "meta" all tensors have one address, by which accelerate 1.15 tells an optimizer's parameters
    apart.

    Raises:
        CheckpointError: no config, or none of a language model that transformers has.
    """
    # here, since what only reads tensors shall not wait for it
    from accelerate import init_empty_weights
    from transformers import AutoConfig, GenerationConfig

    model_class, own_dtype = _class_and_dtype(directory)
    with init_empty_weights(include_buffers=False):
        model = model_class(AutoConfig.from_pretrained(directory, local_files_only=True))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype or own_dtype)
    model.config.dtype = dtype or own_dtype
    computed = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.to_empty(device="cpu").tie_weights()
    for name, buffer in model.named_buffers():
        buffer.copy_(computed[name])
    if (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory)
    return model.eval(), load_tokenizer(directory)


def own_dtype(directory: Path) -> torch.dtype:
    """The type of a checkpoint's weights, as config.json says.

    Raises:
        CheckpointError: no config, or none of a language model that transformers has.
    """
    return _class_and_dtype(directory)[1]


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer of a checkpoint, padding on the left.

    One that was saved as just its tokenizer.json is read as that: of some models the library would
    take its own class instead, which splits text in another way.

    Raises:
        OSError, ValueError: no tokenizer, or not one that can be read.
    """
    # here, since what only reads tensors shall not wait for it
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not any((directory / name).is_file() for name in VOCABULARIES):
        # the library makes an empty one
        raise FileNotFoundError(f"no {VOCABULARIES[0]} in {directory}")
    config = directory / "tokenizer_config.json"
    says = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    plain = says.get("tokenizer_class") in AS_SAVED
    kind = PreTrainedTokenizerFast if plain else AutoTokenizer
    return kind.from_pretrained(directory, padding_side="left", local_files_only=True)


def _class_and_dtype(directory: Path) -> tuple[Any, torch.dtype]:
    """The class of the model that config.json names, and the type that its weights have.

    Raises:
        CheckpointError: no config, or none of a language model that transformers has.
    """
    # here, since what only reads tensors shall not wait for it
    import transformers
    from transformers.generation import GenerationMixin

    remedy = "make or copy the checkpoint again"
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        named = (config.get("architectures") or [None])[0]
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{directory}: cannot be loaded (config.json: {' '.join(str(error).split())}); "
            f"expected the config of a Hugging Face model, {remedy}"
        ) from None
    found = getattr(transformers, str(named), None)
    # what cannot generate is a part of a model, or another kind of model
    if not (isinstance(found, type) and issubclass(found, GenerationMixin)):
        raise CheckpointError(
            f"{directory}: cannot be loaded (architectures in config.json is {named}), expected a "
            f"language model that transformers has, as Qwen2ForCausalLM; {remedy}"
        )
    # the older of the two names is that of transformers before version 5
    says = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    own = getattr(torch, says.removeprefix("torch."), None)
    return found, own if isinstance(own, torch.dtype) else torch.float32


def _under_other_prefix(missing: str, info: dict[str, Any]) -> str:
    """Where the checkpoint has a missing tensor under another prefix, if it does."""
    tail = missing.removeprefix("model.").removeprefix("language_model.").removeprefix("model.")
    others = [key for key in info["unexpected_keys"] if f".{key}".endswith(f".{tail}")]
    return f", and {min(others)} is there under a prefix that it does not have" if others else ""


def load_state(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as stored, by name.

    Raises:
        CheckpointError: no safetensors file, an unreadable one, or a tensor with a NaN or infinity.
    """
    return dict(_tensors(directory))


def _tensors(directory: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The same one by one, so that a large checkpoint need not be in memory to be checked."""
    path = directory / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{directory}: no model.safetensors, expected a Hugging Face model directory with "
            "safetensors weights; pickled weights are not read, convert them first"
        )
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                _require_finite(directory, name, tensor)
                yield name, tensor
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}); make or copy the checkpoint again"
        ) from None


def _require_finite(directory: Path, name: str, tensor: torch.Tensor) -> None:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise CheckpointError(
            f"{directory}: tensor {name} holds a NaN or infinity; expected finite weights, train "
            "again from the checkpoint before"
        )
