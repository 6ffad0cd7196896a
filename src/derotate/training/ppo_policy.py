# SPDX-License-Identifier: MIT
"""The models of PPO: the policy, its value head and optimizer, sharded, with states for resuming.

With several processes, a forward pass gathers one layer after another and frees it again. During
generation each process keeps all gathered weights instead (`Policy.keep_gathered`), in the dtype of
matrix products: 2 bytes per parameter in bf16, beside its shard of weights and optimizer.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from transformers.modeling_layers import GradientCheckpointingLayer

from derotate.files.scratch import scratch_folder
from derotate.training import collectives, rl_log
from derotate.training.collectives import barrier, is_main_process
from derotate.training.fsdp import keep_gathered, shard_module
from derotate.training.full_weights import broadcast_weights
from derotate.training.resume import ResumeFolder
from derotate.training.rollout import Batch, Scores, derived_seed, score

if TYPE_CHECKING:
    from derotate.config.rl import Ppo
    from derotate.config.training import Compute

ADAM_EPSILON: Final = 1e-7
"""Of the papers' optimizer."""
TENSORS_PER_FILE: Final = 64
"""Of a process's shard of the state. A file is assembled in memory before it is written."""
_UPDATES: Final = "updates.json"


class Policy(nn.Module):
    """A causal language model, sharded if there are several processes.

    Attributes:
        model: the causal model.
        config: of the model.
        generation_config: of the model.
        device: of this process.
    """

    def __init__(self, model: Any, compute: Compute, device: torch.device) -> None:
        """Move a model to the device, or shard it over the devices of all processes.

        Args:
            model: from `load_on_main_process`, on the CPU.
            compute: processes, precision, gradient checkpointing.
            device: of this process.
        """
        super().__init__()
        self.model = model
        self.config = model.config
        self.generation_config = model.generation_config
        self.device = device
        dtype = torch.bfloat16 if compute.precision == "bf16" else None
        # FSDP casts weights when it gathers them; without FSDP, autocast casts where they are used
        self._autocasts = dtype is not None and not compute.sharded
        if compute.gradient_checkpointing:
            # that of the layers, as in `fsdp.trainer_arguments`
            model.activation_checkpointing_enable()
        if not compute.sharded:
            self.to(device)
            return
        weights = model.state_dict()
        for module in list(model.modules()):
            if type(module).__name__ in model._no_split_modules:
                shard_module(module, device, dtype)
        shard_module(self, device, dtype)
        broadcast_weights(model, weights)
        # one gathering of the outer weights for all tokens of a generation
        register_fsdp_forward_method(self, "generate")

    def forward(self, batch: Batch, temperature: float) -> Scores:
        """Scores of the responses of a batch under the tempered policy."""
        with self._precision():
            return score(self.model, batch, temperature)

    def generate(self, **arguments: Any) -> Tensor:
        """`model.generate`: token ids of contexts and responses."""
        with self._precision():
            # synced_gpus would make each process generate until the last one is done
            return self.model.generate(**arguments, synced_gpus=False)

    @torch.no_grad()
    def score_all(self, batch: Batch, temperature: float, micro_batch_size: int) -> Scores:
        """Scores of all responses, without gradient; each process scores its part of them.

        Args:
            batch: the same in all processes.
            temperature: of the policy.
            micro_batch_size: responses of one forward pass.

        Returns:
            The scores of the whole batch, in all processes.
        """
        responses = torch.arange(len(batch), device=batch.ids.device)
        parts = []
        for rows in collectives.local_micro_batches(responses, micro_batch_size):
            # the pass is made for an empty micro-batch too, on a foreign response
            scores = self(batch.select(rows if len(rows) else responses[:1]), temperature)
            counted = slice(len(rows))
            parts.append(
                (
                    scores.log_probs[counted],
                    scores.entropies[counted],
                    scores.context_states[counted],
                )
            )
        local = (torch.cat(part) for part in zip(*parts, strict=True))
        return Scores(*(collectives.all_gather_rows(part, len(batch)) for part in local))

    def keep_gathered(self) -> AbstractContextManager[None]:
        """Within the block, weights stay gathered; see `fsdp.keep_gathered`."""
        return keep_gathered(module for module in self.modules() if isinstance(module, FSDPModule))

    @contextmanager
    def recompute_activations(self) -> Iterator[None]:
        """Within the block, layers recompute activations, if gradient checkpointing is on.

        transformers checkpoints only in training mode. The flag is set on the layer alone and not
        on the modules in it, so that dropout stays off, as when the responses were sampled.
        """
        layers = [
            module
            for module in self.modules()
            if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
        ]
        for layer in layers:
            layer.training = True
        yield
        for layer in layers:
            layer.training = False

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocasts)


def make_value_head(hidden: int) -> nn.Sequential:
    """The papers' MLP on a hidden state: hidden -> hidden/4 -> hidden/8 -> 1."""
    return nn.Sequential(
        nn.Linear(hidden, hidden // 4),
        nn.ReLU(),
        nn.Linear(hidden // 4, hidden // 8),
        nn.ReLU(),
        nn.Linear(hidden // 8, 1),
    )


@dataclass(frozen=True)
class ActorCritic:
    """The policy, its value head, and the optimizer of both."""

    policy: Policy
    value_head: nn.Module
    optimizer: torch.optim.Optimizer

    @classmethod
    def create(cls, model: Any, settings: Ppo, seed: int, device: torch.device) -> ActorCritic:
        """An untrained value head on a model, and a new optimizer.

        Args:
            model: in float32, on the CPU; frozen parameters stay frozen.
            settings: of the run.
            seed: of the value head.
            device: of this process.
        """
        torch.manual_seed(derived_seed("value head", seed, 0))
        value_head = make_value_head(model.config.get_text_config().hidden_size)
        policy = Policy(model, settings.compute, device)
        if settings.compute.sharded:
            shard_module(value_head, device)
        else:
            value_head.to(device)
        parameters = [*policy.parameters(), *value_head.parameters()]
        optimizer = torch.optim.AdamW(
            [parameter for parameter in parameters if parameter.requires_grad],
            lr=settings.learning_rate,
            eps=ADAM_EPSILON,
            weight_decay=0.0,
        )
        return cls(policy, value_head, optimizer)

    @property
    def trained_parameters(self) -> list[Tensor]:
        """The parameters of the optimizer."""
        return list(self.optimizer.param_groups[0]["params"])

    def save_state(self, resume: ResumeFolder, log: Sequence[rl_log.Update]) -> None:
        """Save the training state after these updates and remove the one before.

        All processes call this. torch's distributed checkpointing writes one shard per process as
        safetensors. Random numbers are not part of the state: they follow from seed and update.
        """
        aside = scratch_folder(resume.state(len(log)))
        if is_main_process():
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            rows = json.dumps([vars(update) for update in log])
            (aside / _UPDATES).write_text(rows, encoding="utf-8")
        barrier()
        tensors = self._state_tensors()
        files = {name: 1 + index // TENSORS_PER_FILE for index, name in enumerate(tensors)}
        writer = dcp.HuggingFaceStorageWriter(str(aside), files, save_distributed=True)
        with _no_single_process_warning():
            dcp.save(tensors, storage_writer=writer, no_dist=collectives.world_size() == 1)
        # moved only when every process has written its shard, so a state in place is complete
        barrier()
        if is_main_process():
            resume.replace_state(aside, len(log))
        barrier()

    def load_latest_state(self, resume: ResumeFolder) -> list[rl_log.Update]:
        """Load the latest training state, if there is one; returns the log up to it."""
        latest = resume.latest_state()
        if not latest:
            return []
        update, state = latest
        reader = dcp.HuggingFaceStorageReader(str(state))
        with _no_single_process_warning():
            # loads in place
            dcp.load(
                self._state_tensors(), storage_reader=reader, no_dist=collectives.world_size() == 1
            )
        rows = json.loads((state / _UPDATES).read_text(encoding="utf-8"))
        if is_main_process():
            print(f"resuming from checkpoint at update {update}")
        return [rl_log.Update(**{**row, "advantages": tuple(row["advantages"])}) for row in rows]

    def _state_tensors(self) -> dict[str, Tensor]:
        """Trained weights and optimizer state by name, sharing memory with both."""
        module = nn.ModuleDict({"policy": self.policy, "head": self.value_head})
        # named_parameters lists tied weights once; a state dict would list them under two names
        weights = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        optimizer: Any = get_optimizer_state_dict(
            module, self.optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True)
        )
        # hyperparameters are no tensors and come from the config
        return weights | {key: value for key, value in optimizer.items() if torch.is_tensor(value)}


@contextmanager
def _no_single_process_warning() -> Iterator[None]:
    """Within the block, torch does not warn that a single process saves without a process group."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
