# SPDX-License-Identifier: MIT
"""Unsharded weights: loaded by the main process before sharding, gathered there for checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)

from derotate.models.checkpoint import load, load_without_weights
from derotate.training.collectives import is_main_process


def load_on_main_process(directory: Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Model and tokenizer of a checkpoint; only the main process reads the weights.

    In the other processes the parameters are uninitialised. Sharding broadcasts the weights tensor
    by tensor (accelerate's `cpu_ram_efficient_loading`, or `broadcast_weights`).

    Args:
        directory: of the checkpoint.
        dtype: of the weights, by default the checkpoint's; config.json keeps the checkpoint's.

    Raises:
        CheckpointError: see `models.checkpoint.load`.
    """
    if not is_main_process():
        return load_without_weights(directory, dtype=dtype)
    model, tokenizer = load(directory)
    return model.to(dtype) if dtype else model, tokenizer


def broadcast_weights(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Fill the shards of every process from the main process's weights, tensor by tensor.

    All processes call this. Trainers do it themselves (`fsdp.trainer_arguments`).

    Args:
        model: from `load_on_main_process`, sharded since.
        weights: its state dict from before it was sharded; only the main process's is used.
    """
    set_model_state_dict(
        model,
        dict(weights) if is_main_process() else {},
        options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True),
    )


def merge_adapter(model: Any) -> Any:
    """A copy with the LoRA adapter merged in; a model without an adapter is returned as it is."""
    # merging works in place and would end the training of the adapter
    return copy.deepcopy(model).merge_and_unload() if isinstance(model, PeftModel) else model


@dataclass(frozen=True)
class FullWeights:
    """Builds the full model from one in training: gathers shards, merges the adapter, casts.

    Attributes:
        architecture: class of the model before it was sharded.
        adapter: the LoRA adapter that is trained, if any.
        sharded: whether the model is sharded.
        dtype: of the full model's weights.
    """

    architecture: type
    adapter: LoraConfig | None = None
    sharded: bool = False
    dtype: torch.dtype = torch.float32

    def gather(self, model: Any) -> Any:
        """The full model in the main process, None in the others; all processes must call this.

        The model in training stays as it is.
        """
        full = self._gather_shards(model) if self.sharded else merge_adapter(model)
        if full is None or full.dtype == self.dtype:
            return full
        return (copy.deepcopy(full) if full is model else full).to(self.dtype)

    def _gather_shards(self, model: Any) -> Any:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(model, options=options)
        if not is_main_process():
            return None
        with torch.device("meta"):
            # a copy, since the constructor writes to the config
            empty = self.architecture(copy.deepcopy(model.config))
            if self.adapter:
                empty = get_peft_model(empty, self.adapter)
        empty.load_state_dict(weights, assign=True)
        empty.tie_weights()
        full = empty.merge_and_unload() if self.adapter else empty
        full.generation_config = model.generation_config
        return full
