# SPDX-License-Identifier: MIT
"""Hugging Face model directories: saved atomically, checked when loaded.

A checkpoint is loaded only if it has every tensor of the architecture, no other, and no NaN. The
papers' published spectra are those of random weights: names with a wrong prefix were silently not
loaded (arXiv 2509.12235, released spectra).
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
"""Files that a rule declares as outputs; tokenizer and generation config lie beside them."""
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""A tokenizer has at least one of these files."""
PLAIN_CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Class names (transformers 5, 4) of a tokenizer that is fully described by tokenizer.json."""


class CheckpointError(ValueError):
    """An unusable checkpoint: one line with tensor, expectation and remedy."""


def save(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write model and tokenizer to `directory`.

    All files are written to a scratch folder first and then moved, the weights last. So weights in
    place mean a complete checkpoint.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with scratch(directory) as aside:
        model.save_pretrained(aside, max_shard_size="1TB")
        tokenizer.save_pretrained(aside)
        move_into_place(aside, directory)


def move_into_place(aside: Path, directory: Path) -> None:
    """Move the files of a folder into the directory of a checkpoint, the weights last.

    `files.atomic` does not fit: it would replace the directory, in which Snakemake tracks files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for file in sorted(aside.iterdir(), key=lambda file: file.name == "model.safetensors"):
        os.replace(file, directory / file.name)


def load(
    directory: Path, *, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> tuple[Any, Any]:
    """Load and check model (in evaluation mode) and tokenizer of a checkpoint.

    The model has the class that config.json names under `architectures`. A vision-language model is
    used on text alone.

    Args:
        directory: of the checkpoint.
        dtype: of the weights, by default that of config.json, which a study's checkpoints inherit
            from the base.
        device: of the model, by default the CPU.

    Raises:
        CheckpointError: the directory is no checkpoint, or a tensor is missing, unexpected, of
            another shape, or has a NaN.
    """
    for _ in _tensors(directory):
        pass
    model_class, stored_dtype = _class_and_dtype(directory)
    try:
        model, info = model_class.from_pretrained(
            directory,
            dtype=dtype or stored_dtype,
            output_loading_info=True,
            local_files_only=True,
            # reported below with the tensor's name, which the library's error does not have
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
        # mismatched_keys are tuples of name and both shapes
        keys = (key if isinstance(key, str) else key[0] for key in info[problem])
        named = [(_under_other_prefix(key, info), key) for key in sorted(keys)]
        if named:
            # a tensor stored under another name makes the most helpful message
            elsewhere, key = max(named, key=lambda pair: bool(pair[0]))
            raise CheckpointError(
                f"{directory}: tensor {key} {expected}{elsewhere}; save the checkpoint again from "
                "its model"
            )
    return model.to(device).eval() if device else model.eval(), tokenizer


def load_without_weights(directory: Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Model with uninitialised weights, and tokenizer; for a process that gets weights broadcast.

    Memory is allocated and never touched, so it costs nothing. The meta device does not fit: its
    tensors all have one address, by which accelerate 1.15 identifies an optimizer's parameters.

    Raises:
        CheckpointError: no config, or none of a language model that transformers has.
    """
    # imported here, since reading tensors does not need it and its import is slow
    from accelerate import init_empty_weights
    from transformers import AutoConfig, GenerationConfig

    model_class, stored_dtype = _class_and_dtype(directory)
    with init_empty_weights(include_buffers=False):
        model = model_class(AutoConfig.from_pretrained(directory, local_files_only=True))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype or stored_dtype)
    model.config.dtype = dtype or stored_dtype
    computed = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.to_empty(device="cpu").tie_weights()
    for name, buffer in model.named_buffers():
        buffer.copy_(computed[name])
    if (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory)
    return model.eval(), load_tokenizer(directory)


def checkpoint_dtype(directory: Path) -> torch.dtype:
    """The dtype of a checkpoint's weights according to config.json.

    Raises:
        CheckpointError: no config, or none of a language model that transformers has.
    """
    return _class_and_dtype(directory)[1]


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer of a checkpoint, padding on the left.

    A tokenizer that is fully described by tokenizer.json is loaded as such. For some models
    transformers would use the model's own class instead, which tokenizes differently.

    Raises:
        OSError, ValueError: there is no tokenizer, or it cannot be read.
    """
    # imported here, since reading tensors does not need it and its import is slow
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not any((directory / name).is_file() for name in VOCABULARIES):
        # transformers would return an empty tokenizer
        raise FileNotFoundError(f"no {VOCABULARIES[0]} in {directory}")
    config = directory / "tokenizer_config.json"
    settings = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    plain = settings.get("tokenizer_class") in PLAIN_CLASSES
    kind = PreTrainedTokenizerFast if plain else AutoTokenizer
    return kind.from_pretrained(directory, padding_side="left", local_files_only=True)


def _class_and_dtype(directory: Path) -> tuple[Any, torch.dtype]:
    """The model class that config.json names, and the dtype of the weights.

    Raises:
        CheckpointError: no config, or none of a language model that transformers has.
    """
    # imported here, since reading tensors does not need it and its import is slow
    import transformers
    from transformers.generation import GenerationMixin

    remedy = "make or copy the checkpoint again"
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        name = (config.get("architectures") or [None])[0]
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{directory}: cannot be loaded (config.json: {' '.join(str(error).split())}); "
            f"expected the config of a Hugging Face model, {remedy}"
        ) from None
    model_class = getattr(transformers, str(name), None)
    # a class that cannot generate is no language model, or only its trunk
    if not (isinstance(model_class, type) and issubclass(model_class, GenerationMixin)):
        raise CheckpointError(
            f"{directory}: cannot be loaded (architectures in config.json is {name}), expected a "
            f"language model of transformers, e.g. Qwen2ForCausalLM; {remedy}"
        )
    # transformers before version 5 wrote torch_dtype
    dtype_name = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    dtype = getattr(torch, dtype_name.removeprefix("torch."), None)
    return model_class, dtype if isinstance(dtype, torch.dtype) else torch.float32


def _under_other_prefix(missing: str, info: dict[str, Any]) -> str:
    """Message part that names where a missing tensor is stored under another prefix, if it is."""
    tail = missing.removeprefix("model.").removeprefix("language_model.").removeprefix("model.")
    others = [key for key in info["unexpected_keys"] if f".{key}".endswith(f".{tail}")]
    return f"; the file has {min(others)}, under another prefix" if others else ""


def load_state(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as stored, by name.

    Raises:
        CheckpointError: no safetensors file, an unreadable one, or a tensor with a NaN or infinity.
    """
    return dict(_tensors(directory))


def _tensors(directory: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors one by one, so that a checkpoint larger than memory can be checked."""
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
            "again from an earlier checkpoint"
        )
