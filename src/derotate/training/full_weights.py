# SPDX-License-Identifier: MIT
"""The model in one piece, before it is sharded and after.

It is loaded by the first of the processes, and gathered there, with its adapter merged in, for the
checkpoints.
"""

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

from derotate.models.checkpoint import load, outline
from derotate.training.launch import is_first


def load_in_first(directory: Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Model and tokenizer of a checkpoint, with weights in the first process, or the only one.

    In the others the model is as large and empty: sharding hands the weights out, one tensor at a
    time (`fsdp_plugin.cpu_ram_efficient_loading` of accelerate).

    Args:
        directory: of the checkpoint.
        dtype: of the weights, by default their own; config.json still says that.

    Raises:
        CheckpointError: as `checkpoints.load`.
    """
    if not is_first():
        return outline(directory, dtype=dtype)
    model, tokenizer = load(directory)
    return model.to(dtype) if dtype else model, tokenizer


def hand_out(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Give each process its part of the weights, one tensor at a time; all processes call this.

    Trainers do so by themselves (`compute.arguments`).

    Args:
        model: one of `load_in_first`, since sharded; its parts are written over.
        weights: the state of that model before it was sharded; that of the first process counts.
    """
    set_model_state_dict(
        model,
        dict(weights) if is_first() else {},
        options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True),
    )


def merged(model: Any) -> Any:
    """The model itself, or with its adapter merged in, on a copy, so that training goes on."""
    return copy.deepcopy(model).merge_and_unload() if isinstance(model, PeftModel) else model


@dataclass(frozen=True)
class Whole:
    """Makes whole models of one that is being trained, which stays as it is.

    Attributes:
        architecture: class of the model, as it was before it was sharded.
        adapter: what it trains if not all weights.
        sharded: whether each process holds a part of the weights.
        dtype: of the weights of the whole model.
    """

    architecture: type
    adapter: LoraConfig | None = None
    sharded: bool = False
    dtype: torch.dtype = torch.float32

    def of(self, model: Any) -> Any:
        """The whole model, in the first process; None in the others, which must call it too."""
        whole = self._gathered(model) if self.sharded else merged(model)
        if whole is None or whole.dtype == self.dtype:
            return whole
        return (copy.deepcopy(whole) if whole is model else whole).to(self.dtype)

    def _gathered(self, model: Any) -> Any:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(model, options=options)
        if not is_first():
            return None
        with torch.device("meta"):
            # a copy, since a new model marks its config
            empty = self.architecture(copy.deepcopy(model.config))
            if self.adapter:
                empty = get_peft_model(empty, self.adapter)
        empty.load_state_dict(state, assign=True)
        empty.tie_weights()
        whole = empty.merge_and_unload() if self.adapter else empty
        whole.generation_config = model.generation_config
        return whole
