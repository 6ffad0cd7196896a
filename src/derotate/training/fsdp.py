# SPDX-License-Identifier: MIT
"""How the steps of a training are computed: in how many processes, in what pieces and precision.

None of it changes what a step is. The samples of a step, their loss (the mean over all tokens that
have one) and its gradient are those of one process with the whole batch; only the order of the sums
differs, and with bf16 their rounding. In RL samples are responses and a step is an update; there
each process draws its part of the responses, which are others with another number of processes.

With several processes, weights, gradients and optimizer are sharded over them by FSDP2
(`torch.distributed.fsdp.fully_shard`, through accelerate). accelerate 1.15 shards on accelerators
only and falls back to plain data parallelism on CPUs without a word, so that what a cluster does
could not be tested where there is no GPU; `ShardingTrainer` has it shard there as well. It also has
gradients added up in float32 when products are bf16: accelerate would add them up in bf16, and
round the loss of each step to three digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any, Final, Literal

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, fsdp2_prepare_model
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    register_fsdp_forward_method,
)
from transformers import Trainer
from transformers.modeling_layers import GradientCheckpointingLayer


@dataclass(frozen=True)
class Compute:
    """How a step is computed.

    Attributes:
        processes: on this node, each with a device of its own where there are GPUs.
        micro_batch: samples that a process holds at once; None is its whole share of the step.
        precision: "bf16" multiplies in bf16, with weights, optimizer and sums in float32.
        gradient_checkpointing: recompute a layer's activations instead of keeping them.
        save_state_every: steps after which the state is kept, so that a job that was ended from
            outside goes on from there; 0 keeps none.
    """

    processes: int = 1
    micro_batch: int | None = None
    precision: Literal["float32", "bf16"] = "float32"
    gradient_checkpointing: bool = False
    save_state_every: int = 0

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return self.processes > 1


ONE_PROCESS: Final = Compute()
"""The whole batch at once, in float32."""


def pieces(batch_size: int, processes: int, micro_batch: int | None) -> tuple[int, int]:
    """How the samples of a step are dealt: a process's samples at once, and how often.

    Piece after piece goes to one process after the other, so a step has the same samples whatever
    the number of processes.

    Raises:
        ValueError: the batch cannot be dealt without a remainder.
    """
    at_once = micro_batch or max(batch_size // processes, 1)
    times, left = divmod(batch_size, at_once * processes)
    if left or not times:
        raise ValueError(
            f"micro_batch: got {at_once} in {processes} processes for a batch of {batch_size}, "
            "expected micro_batch x processes to divide the batch size; change one of the three"
        )
    return at_once, times


def arguments(compute: Compute, batch_size: int) -> dict[str, Any]:
    """What the arguments of a transformers trainer say of it."""
    at_once, times = pieces(batch_size, compute.processes, compute.micro_batch)
    given = {
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": times,
        "bf16": compute.precision == "bf16",
        # with FSDP2 too: it recomputes inside a layer's gathered weights and keeps the cache out,
        # which FSDP's own (accelerate's `activation_checkpointing`) does not for Mllama
        "gradient_checkpointing": compute.gradient_checkpointing,
    }
    if not compute.sharded:
        return given
    return given | {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            # the first process hands the weights out (`whole.load_in_first`)
            "cpu_ram_efficient_loading": True,
            # each process writes its part of the training state
            "state_dict_type": "SHARDED_STATE_DICT",
        },
    }


class ShardingTrainer(Trainer):
    """A trainer that shards by FSDP2 where the processes have no GPU, too."""

    def create_accelerator_and_postprocess(self) -> None:
        """Give accelerate's state on CPUs what it has with GPUs: the plugin, and its kind."""
        given = self.args.fsdp_plugin_args
        if given is not None and self.args.bf16:
            given["mixed_precision_policy"] = MixedPrecisionPolicy(
                param_dtype=torch.bfloat16, reduce_dtype=torch.float32
            )
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if given is None or state.distributed_type == DistributedType.FSDP:
            return
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**given)
        state.distributed_type = DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.is_fsdp_enabled = True


def fixed(accelerator: Any, model: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a model that is not trained, on this process's device or sharded over all.

    Args:
        accelerator: of a trainer; it says which.
        model: with weights in the first process at least; sharded as the trained one is.
        function: takes the model first and has no gradient; where it is sharded, all processes must
            call it alike.
    """
    if accelerator.distributed_type != DistributedType.FSDP:
        return partial(function, model.to(accelerator.device))
    # frozen, or accelerate would make weights of bfloat16 float32
    sharded = fsdp2_prepare_model(accelerator, model.requires_grad_(False)).eval()
    sharded.called = MethodType(function, sharded)
    register_fsdp_forward_method(sharded, "called")
    return sharded.called


@contextmanager
def held_whole(model: Any) -> Iterator[None]:
    """Within the block, the weights of a sharded model stay gathered once a pass has used them.

    A step of decoding has one token for each response, and would spend its time on gathering. All
    processes must take a pass first; after that each takes as many as it likes.

    Args:
        model: that a trainer has sharded, or a whole one, with which nothing is done. accelerate
            lets its embedding and its layers go after a pass, and keeps what is left.
    """
    units = [
        module
        for module in model.modules()
        if isinstance(module, FSDPModule) and isinstance(module, GradientCheckpointingLayer)
    ]
    embedding = model.get_input_embeddings()
    if units and embedding.weight is not model.get_output_embeddings().weight:
        units.append(embedding)
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()
