# SPDX-License-Identifier: MIT
"""The model that PPO trains, and the one that it started from: how they are asked, and sharded.

With several processes, weights, gradients and optimizer are sharded by FSDP2: a pass gathers layer
after layer and gives each away again. A pass of generation has one token for each sequence and
would spend its time on that, so while a process plays its episodes it holds the weights whole, in
the type of the products. It then waits for nobody, however long its responses are: 2 bytes a
parameter in bf16, beside its part of weights and optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from derotate.training import collectives as processes
from derotate.training import rollout
from derotate.training.fsdp import Compute
from derotate.training.full_weights import hand_out


class Policy(nn.Module):
    """A model that scores responses and makes them.

    Attributes:
        model: the causal model.
        config: of the model.
        generation_config: of the model.
    """

    def __init__(self, model: Any, compute: Compute, device: torch.device) -> None:
        """Take a model, to the device or, part by part, to those of all processes.

        Args:
            model: of `load_in_first`, in the memory of the CPU.
            compute: in how many processes, how precisely.
            device: of this process.
        """
        super().__init__()
        self.model = model
        self.config = model.config
        self.generation_config = model.generation_config
        self.device = device
        products = torch.bfloat16 if compute.precision == "bf16" else None
        # FSDP casts weights when it gathers them, autocast when they are used
        self._cast = products is not None and not compute.sharded
        if compute.gradient_checkpointing:
            # the layers' own, as for SFT (`compute.arguments`)
            model.activation_checkpointing_enable()
        if not compute.sharded:
            self.to(device)
            return
        weights = model.state_dict()
        for module in list(model.modules()):
            if type(module).__name__ in model._no_split_modules:
                shard(module, device, products)
        shard(self, device, products)
        hand_out(model, weights)
        # what it gathers it gathers for all its tokens
        register_fsdp_forward_method(self, "generate")

    def forward(self, batch: rollout.Batch, temperature: float) -> rollout.Scores:
        """What the tempered policy says of the responses of a batch."""
        with self._products():
            return rollout.score(self.model, batch, temperature)

    def generate(self, **asked: Any) -> Tensor:
        """Token ids of contexts and of responses to them, as `model.generate` gives them."""
        with self._products():
            # transformers would have the processes count each other's tokens
            return self.model.generate(**asked, synced_gpus=False)

    def _products(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._cast)


def value_head(hidden: int) -> nn.Sequential:
    """The papers' head on a state of the trunk: hidden -> hidden/4 -> hidden/8 -> 1."""
    return nn.Sequential(
        nn.Linear(hidden, hidden // 4),
        nn.ReLU(),
        nn.Linear(hidden // 4, hidden // 8),
        nn.ReLU(),
        nn.Linear(hidden // 8, 1),
    )


def shard(module: nn.Module, device: torch.device, products: torch.dtype | None = None) -> None:
    """Have each process hold a part of the parameters that no module inside has sharded.

    Args:
        module: in memory of its own or of the CPU, the same in all processes.
        device: of this process.
        products: type that weights are cast to where they are used; gradients are added up in
            float32. None leaves the type that they have.
    """
    fully_shard(
        module,
        mesh=init_device_mesh(device.type, (processes.count(),)),
        reshard_after_forward=True,
        mp_policy=MixedPrecisionPolicy(
            param_dtype=products, reduce_dtype=torch.float32, cast_forward_inputs=False
        ),
    )


@contextmanager
def held_whole(policy: Policy) -> Iterator[None]:
    """Within the block, weights stay gathered once a pass has used them.

    Every process must take a pass first; after that it takes as many as it likes.
    """
    units = [module for module in policy.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()


@contextmanager
def recomputing(policy: Policy) -> Iterator[None]:
    """Within the block, layers keep no activations, if they were asked to recompute them.

    transformers has a layer do so in training mode alone, where it has no cache. Only the layer
    itself is told, and not what is in it: dropout stays off, as when the responses were sampled.
    """
    layers = [
        module
        for module in policy.modules()
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
    ]
    for layer in layers:
        layer.training = True
    yield
    for layer in layers:
        layer.training = False


@torch.no_grad()
def scored(
    policy: Policy, batch: rollout.Batch, temperature: float, at_once: int
) -> rollout.Scores:
    """What the tempered policy says of all responses, each scored in one of the processes.

    Args:
        policy: sharded, or whole in one process.
        batch: the same in all processes.
        temperature: of the policy.
        at_once: responses that one pass takes.
    """
    everyone = torch.arange(len(batch), device=batch.ids.device)
    parts = []
    for rows in processes.share_in_pieces(everyone, at_once):
        # without a response of its own, too, this process takes the pass
        scores = policy(batch.rows(rows if len(rows) else everyone[:1]), temperature)
        asked = slice(len(rows))
        parts.append(
            (scores.log_probs[asked], scores.entropies[asked], scores.context_states[asked])
        )
    own = (torch.cat(part) for part in zip(*parts, strict=True))
    return rollout.Scores(*(processes.all_rows(part, len(batch)) for part in own))
