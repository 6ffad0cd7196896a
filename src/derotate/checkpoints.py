# SPDX-License-Identifier: MIT
"""Hugging Face model directories: saved aside and moved into place, guarded when loaded.

A checkpoint is trusted only when every tensor the architecture has is there, none is left over and
none holds a NaN: the papers' own spectra are those of random weights, since a load under the wrong
prefix left them in place without a word (papers.md 0.1).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from derotate.scratch import scratch

FILES = ("config.json", "model.safetensors")
"""What a rule declares of a checkpoint; the tokenizer and generation config lie beside them."""


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
        for file in sorted(aside.iterdir(), key=lambda file: file.name == "model.safetensors"):
            os.replace(file, directory / file.name)


def load(directory: Path) -> tuple[Any, Any]:
    """Model (float32, evaluation mode) and tokenizer of a checkpoint, guarded.

    Raises:
        CheckpointError: the directory is no checkpoint, a tensor is missing, left over, of another
            shape or holds a NaN.
    """
    # here, since what only reads tensors shall not wait for it
    from transformers import AutoModelForCausalLM, AutoTokenizer

    load_state(directory)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            # not ignored: named below, which the library's own error does not
            ignore_mismatched_sizes=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            directory, padding_side="left", local_files_only=True
        )
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
        for key in sorted(keys):
            raise CheckpointError(
                f"{directory}: tensor {key} {expected}; save the checkpoint again from its model"
            )
    return model.eval(), tokenizer


def load_state(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as stored, by name.

    Raises:
        CheckpointError: no safetensors file, an unreadable one, or a tensor with a NaN or infinity.
    """
    path = directory / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{directory}: no model.safetensors, expected a Hugging Face model directory with "
            "safetensors weights; pickled weights are not read, convert them first"
        )
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}); make or copy the checkpoint again"
        ) from None
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{directory}: tensor {name} holds a NaN or infinity; expected finite weights, "
                "train again from the checkpoint before"
            )
    return state
