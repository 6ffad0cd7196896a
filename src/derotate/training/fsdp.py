# SPDX-License-Identifier: MIT
"""Micro-batches, mixed precision and FSDP2 sharding of a training.

None of these change what a training step is. The samples of a step, its loss (the mean over all
tokens with a label) and its gradient equal those of one process with the whole batch, up to the
order of floating-point sums and the rounding of bf16. RL is the exception: each process samples its
own part of the responses, so another number of processes samples others.

With several processes, weights, gradients and optimizer state are sharded by FSDP2
(`torch.distributed.fsdp.fully_shard`). SFT and GRPO shard through accelerate, PPO shards here.
Two gaps of accelerate 1.15 are closed by `FsdpTrainer`:

- It shards on accelerators only. On CPUs it silently falls back to DDP, so what runs on a cluster
  could not be tested without GPUs.
- With bf16 it also reduces gradients in bf16, which rounds the loss of each step to three digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, fsdp2_prepare_model
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from transformers import Trainer
from transformers.modeling_layers import GradientCheckpointingLayer

from derotate.training.collectives import world_size

if TYPE_CHECKING:
    from derotate.config.training import Compute


def micro_batches(batch_size: int, processes: int, micro_batch: int | None) -> tuple[int, int]:
    """Micro-batch size of a process and number of gradient accumulation steps.

    Micro-batches go to the processes in turn, so a step has the same samples for any number of
    processes.

    Args:
        batch_size: samples of a step.
        processes: number of processes.
        micro_batch: samples of one forward pass; None for the whole share of a process.

    Raises:
        ValueError: the batch cannot be split evenly.
    """
    size = micro_batch or max(batch_size // processes, 1)
    steps, remainder = divmod(batch_size, size * processes)
    if remainder or not steps:
        raise ValueError(
            f"micro_batch: got {size} in {processes} processes for a batch of {batch_size}, "
            "expected micro_batch x processes to divide the batch size; change one of the three"
        )
    return size, steps


def trainer_arguments(compute: Compute, batch_size: int) -> dict[str, Any]:
    """Arguments of a transformers trainer that follow from `compute`."""
    size, steps = micro_batches(batch_size, compute.processes, compute.micro_batch)
    arguments = {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": steps,
        "bf16": compute.precision == "bf16",
        # transformers' own, with FSDP2 too: it recomputes within the gathered layer and disables
        # the KV cache; accelerate's `activation_checkpointing` does not disable it for Mllama
        "gradient_checkpointing": compute.gradient_checkpointing,
    }
    if not compute.sharded:
        return arguments
    return arguments | {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            # process 0 has the weights and broadcasts them (`full_weights.load_on_main_process`)
            "cpu_ram_efficient_loading": True,
            # each process writes its own shard of the training state
            "state_dict_type": "SHARDED_STATE_DICT",
        },
    }


class FsdpTrainer(Trainer):
    """A trainer that shards by FSDP2 on CPUs too, and reduces gradients in float32."""

    def create_accelerator_and_postprocess(self) -> None:
        """Set accelerate's global state on CPUs to what it sets itself on GPUs."""
        plugin_arguments = self.args.fsdp_plugin_args
        if plugin_arguments is not None and self.args.bf16:
            plugin_arguments["mixed_precision_policy"] = MixedPrecisionPolicy(
                param_dtype=torch.bfloat16, reduce_dtype=torch.float32
            )
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if plugin_arguments is None or state.distributed_type == DistributedType.FSDP:
            return
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin_arguments)
        state.distributed_type = DistributedType.FSDP
        # the accelerator reads the type from this shared dictionary, not from its own state
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.is_fsdp_enabled = True


def shard_frozen_model(
    accelerator: Any, model: Any, function: Callable[..., Any]
) -> Callable[..., Any]:
    """Place a frozen model and return `function` bound to it.

    Args:
        accelerator: of a trainer. If it shards, the model is sharded in the same way; else the
            model goes to its device.
        model: with weights at least in the main process.
        function: takes the model as its first argument and computes without gradient. If the model
            is sharded, all processes must call it equally often.
    """
    if accelerator.distributed_type != DistributedType.FSDP:
        return partial(function, model.to(accelerator.device))
    # without requires_grad_(False) accelerate upcasts bf16 weights to float32
    sharded = fsdp2_prepare_model(accelerator, model.requires_grad_(False)).eval()
    # FSDP gathers weights only in `forward` and in registered methods
    sharded.bound_function = MethodType(function, sharded)
    register_fsdp_forward_method(sharded, "bound_function")
    return sharded.bound_function


def shard_module(module: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> None:
    """Shard the parameters of a module that none of its submodules has sharded.

    Args:
        module: on the CPU, or in memory of its own; the same in all processes.
        device: of this process.
        dtype: of gathered weights in matrix products; None keeps their own. Gradients are reduced
            in float32.
    """
    fully_shard(
        module,
        mesh=init_device_mesh(device.type, (world_size(),)),
        reshard_after_forward=True,
        mp_policy=MixedPrecisionPolicy(
            param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        ),
    )


@contextmanager
def keep_gathered(modules: Iterable[FSDPModule]) -> Iterator[None]:
    """Within the block, weights stay gathered after the first forward pass that uses them.

    Generation makes one pass per token and would spend its time on all-gathers. Every process must
    make one pass first. After it a process waits for no other, however long its responses are.
    """
    units = list(modules)
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()


def resharding_modules(model: Any) -> list[FSDPModule]:
    """The modules of a model that accelerate sharded and that reshard after each forward pass.

    These are its layers, and its embedding if that is not tied. accelerate keeps the rest gathered.
    An unsharded model has none.
    """
    modules: list[Any] = [
        module
        for module in model.modules()
        if isinstance(module, FSDPModule) and isinstance(module, GradientCheckpointingLayer)
    ]
    embedding = model.get_input_embeddings()
    if modules and embedding.weight is not model.get_output_embeddings().weight:
        modules.append(embedding)
    return modules
