# SPDX-License-Identifier: MIT
"""What PPO trains, the policy and its value head with their optimizer, and its state on disk.

A state is written by torch's distributed checkpointing, each process its part, as safetensors. The
random numbers of an update follow from the seed and the update, so they are no part of it.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

from derotate.files.scratch import scratch_folder
from derotate.training import collectives as processes
from derotate.training import rl_log as rllog
from derotate.training import rollout
from derotate.training.fsdp import Compute
from derotate.training.launch import is_first, wait_for_all
from derotate.training.ppo_policy import Policy, shard, value_head
from derotate.training.resume import Kept

if TYPE_CHECKING:
    from derotate.config.rl import Ppo

ADAM_EPSILON: Final = 1e-7
"""Of the papers' optimizer."""
TENSORS_A_FILE: Final = 64
"""Of a process's part of the state; a file is put together in memory before it is written."""
_UPDATES: Final = "updates.json"


@dataclass(frozen=True)
class Learner:
    """A policy, the head that values its contexts, and the optimizer that moves both."""

    policy: Policy
    head: nn.Module
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(
        cls, model: Any, settings: Ppo, seed: int, compute: Compute, device: torch.device
    ) -> Learner:
        """A learner that has learned nothing.

        Args:
            model: in float32, in the memory of the CPU; what of it is frozen stays.
            settings: of the run.
            seed: of the head.
            compute: in how many processes, how precisely.
            device: of this process.
        """
        torch.manual_seed(rollout.derived_seed("value head", seed, 0))
        head = value_head(model.config.get_text_config().hidden_size)
        policy = Policy(model, compute, device)
        if compute.sharded:
            shard(head, device)
        else:
            head.to(device)
        moving = [p for p in [*policy.parameters(), *head.parameters()] if p.requires_grad]
        optimizer = torch.optim.AdamW(
            moving, lr=settings.learning_rate, eps=ADAM_EPSILON, weight_decay=0.0
        )
        return cls(policy, head, optimizer)

    @property
    def moving(self) -> list[Tensor]:
        """The parameters that the optimizer moves."""
        return list(self.optimizer.param_groups[0]["params"])

    def keep(self, kept: Kept, updates: Sequence[rllog.Update]) -> None:
        """Leave the state after these updates in its place, and remove the one before.

        All processes call this. A state is moved into place when every process has written its
        part, so that one that is there is whole.
        """
        place = kept.state(len(updates))
        aside = scratch_folder(place)
        if is_first():
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            rows = json.dumps([vars(update) for update in updates])
            (aside / _UPDATES).write_text(rows, encoding="utf-8")
        wait_for_all()
        tensors = self._tensors()
        files = {name: 1 + index // TENSORS_A_FILE for index, name in enumerate(tensors)}
        writer = dcp.HuggingFaceStorageWriter(str(aside), files, save_distributed=True)
        with _not_told_of_one_process():
            dcp.save(tensors, storage_writer=writer, no_dist=processes.count() == 1)
        wait_for_all()
        if is_first():
            before = kept.newest()
            os.replace(aside, place)
            if before:
                shutil.rmtree(before[1])
        wait_for_all()

    def resumed(self, kept: Kept) -> list[rllog.Update]:
        """Take the newest state that was kept, if there is one; the updates up to it."""
        newest = kept.newest()
        if not newest:
            return []
        update, state = newest
        reader = dcp.HuggingFaceStorageReader(str(state))
        with _not_told_of_one_process():
            dcp.load(self._tensors(), storage_reader=reader, no_dist=processes.count() == 1)
        rows = json.loads((state / _UPDATES).read_text(encoding="utf-8"))
        if is_first():
            print(f"goes on after update {update}, whose state was kept")
        return [rllog.Update(**{**row, "advantages": tuple(row["advantages"])}) for row in rows]

    def _tensors(self) -> dict[str, Tensor]:
        """Weights and optimizer state that move, by name; to be read and to be written in place."""
        module = nn.ModuleDict({"policy": self.policy, "head": self.head})
        # tied weights are one tensor under one name here, under two in a state dict
        weights = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        moments: Any = get_optimizer_state_dict(
            module, self.optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True)
        )
        # the optimizer's settings are no tensors: they are those of the run
        return weights | {key: value for key, value in moments.items() if torch.is_tensor(value)}


@contextmanager
def _not_told_of_one_process() -> Iterator[None]:
    """Within the block, torch's warning at each state of one process is left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
