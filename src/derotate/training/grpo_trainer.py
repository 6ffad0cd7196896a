# SPDX-License-Identifier: MIT
"""trl's GRPOTrainer with samples that follow from the run's seed, and a log row per update.

trl 1.16 splits an update over several processes correctly: each samples its part of the responses,
rewards are gathered before they are compared within groups, and the loss is divided by the tokens
of all processes. Three things are missing under FSDP2 and added here: weights stay gathered during
generation, the start checkpoint is sharded too, and the log covers the responses of all processes.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl import GRPOTrainer

from derotate.models.chat import prompt_ids
from derotate.models.kv_cache import use_growing_cache
from derotate.training import rl_log
from derotate.training.fsdp import (
    FsdpTrainer,
    keep_gathered,
    resharding_modules,
    shard_frozen_model,
)
from derotate.training.rl_job import RlJob
from derotate.training.rollout import (
    Batch,
    PolicySums,
    derived_seed,
    log_columns,
    policy_sums,
    score_without_gradient,
)

if TYPE_CHECKING:
    from derotate.config.rl import Grpo

KL_RESPONSES = 64
"""Responses per update, the first ones, over which the KL to the start is measured. On all of them
it would take a fifth of the run's time."""
_UPDATE = "update"
"""Key of the trainer's log that holds the row of an update."""


class SeededGRPOTrainer(FsdpTrainer, GRPOTrainer):
    """GRPOTrainer whose samples are a function of weights, seed and update.

    The column `prompt` of its dataset holds problem indices as text. `_tokenize_prompts` replaces
    them by the token ids that evaluation uses; trl's own would decode and encode each prompt again.
    """

    def __init__(self, *, job: RlJob[Grpo], start_model: Any, **kwargs: Any) -> None:
        super().__init__(reward_funcs=self._reward_func, **kwargs)
        self._job = job
        self._score_start = shard_frozen_model(
            self.accelerator, start_model, score_without_gradient
        )
        self._rewards: list[float] = []
        self._advantages: list[float] = []
        self._sums: list[PolicySums] = []
        if self.accelerator.num_processes > 1:
            self.model.base_model.register_forward_hook(partial(_unshard_head, self.model))

    def updates(self) -> list[rl_log.Update]:
        """The log rows, including those from before a resume: the trainer's state holds them."""
        rows = [entry[_UPDATE] for entry in self.state.log_history if _UPDATE in entry]
        return [rl_log.Update(**{**row, "advantages": tuple(row["advantages"])}) for row in rows]

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Add the row of the update; called in all processes after each update."""
        if "loss" in logs:
            logs = {**logs, _UPDATE: asdict(self._row(logs["loss"]))}
        super().log(logs, start_time)

    def _row(self, loss: float) -> rl_log.Update:
        sums, self._sums = gather_object(self._sums), []
        return rl_log.Update(
            update=self.state.global_step,
            reward_mean=sum(self._rewards) / len(self._rewards),
            correct_share=rl_log.correct_share(self._rewards, self._job.environment.correct_reward),
            zero_variance_share=rl_log.zero_variance_share(self._rewards, self.num_generations),
            loss=loss,
            value_loss=None,
            advantages=tuple(self._advantages),
            **log_columns(sums),
        )

    def _send_telemetry(self) -> None:
        """Do nothing; trl would report each run to its maintainers."""

    def _reward_func(self, completions: list[str], problem: list[int], **_: Any) -> list[float]:
        """Rewards of this process's responses, shuffled over all processes for the control."""
        reward = self._job.environment.reward
        local = [reward(index, text) for index, text in zip(problem, completions, strict=True)]
        # the log has the true rewards, also in the control
        self._rewards = rewards = gather_object(local)
        if self._job.shuffle_rewards:
            seed = derived_seed("shuffle", self._job.seed, self.state.global_step + 1)
            rewards = random.Random(seed).sample(self._rewards, len(self._rewards))
        first = self.accelerator.process_index * len(local)
        return rewards[first : first + len(local)]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        process = self.accelerator.process_index
        purpose = f"samples of process {process}" if process else "samples"
        # global_step counts the updates that are done
        update = self.state.global_step + 1
        torch.manual_seed(derived_seed(purpose, self._job.seed, update))
        samples = super()._generate_and_score_completions(inputs)
        self._advantages = self.accelerator.gather(samples["advantages"]).tolist()
        return samples

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Token ids of the prompts with these indices; no images, no multimodal fields."""
        selected = [self._job.environment.prompts[int(index)] for index in prompts]
        return prompt_ids(self.processing_class, selected), None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        gathered = keep_gathered(resharding_modules(self.model))
        # synced_gpus would make each process generate until the last one is done
        with gathered, use_growing_cache(self.model, synced_gpus=False):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """trl's, which the loss calls; entropy and KL are measured here, without a further pass."""
        log_probs, entropies, auxiliary_loss = super()._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, **kwargs
        )
        if torch.is_grad_enabled():
            batch = Batch(input_ids, attention_mask, attention_mask[:, -logits_to_keep:])
            start_log_probs = None
            # all processes have micro-batches of one size, so they agree on when to stop
            measured = sum(part.responses for part in self._sums) * self.accelerator.num_processes
            if measured < KL_RESPONSES:
                start_log_probs = self._score_start(batch, self.temperature).log_probs
            self._sums.append(
                policy_sums(log_probs.detach(), entropies.detach(), start_log_probs, batch)
            )
        return log_probs, entropies, auxiliary_loss


def _unshard_head(model: Any, *_: Any) -> None:
    """All-gather the weight of the LM head, which trl multiplies by without calling the head.

    accelerate usually wraps head and last norm as one unit, which the norm's pass gathers. It does
    not find the norm of Mllama. trl then gathers the weight outside FSDP, and each process applies
    only the gradient of its own responses to its shard.
    """
    model.get_output_embeddings().unshard()
