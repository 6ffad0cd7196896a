# SPDX-License-Identifier: MIT
"""trl's GRPOTrainer, whose samples are a function of the run's seed, and which logs each update.

trl 1.16 deals an update to several processes as it should: one after the other takes its part of
the responses, rewards are gathered before they are compared within groups, and the loss is divided
by the tokens of all. What it leaves open under FSDP2 is done here: weights are whole while they
generate; the start checkpoint is sharded too; what is logged is that of all responses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl import GRPOTrainer

from derotate.models.chat import Prompt, prompt_ids
from derotate.models.kv_cache import generating_with_room
from derotate.training import rl_log as rllog
from derotate.training import rollout
from derotate.training.fsdp import ShardingTrainer, fixed, held_whole

KL_RESPONSES = 64
"""Responses of an update, from the first on, over which the KL to the start is measured."""
_UPDATE = "update"
"""Entry of the trainer's log that holds the row of an update."""


@dataclass(frozen=True)
class Earning:
    """What responses earn.

    Attributes:
        reward: of a response (text, special tokens left out) to the prompt of that index.
        correct: a response that earns this or more counts as correct in the log.
        shuffled: deal the rewards of each update to other responses at random.
    """

    reward: Callable[[int, str], float]
    correct: float
    shuffled: bool


class MeasuringTrainer(ShardingTrainer, GRPOTrainer):
    """GRPOTrainer whose samples are a function of weights, seed and update, and are measured.

    The column `prompt` of its data holds indices of `prompts`, as text: their token ids are then
    those of evaluation, and trl takes what it decodes for plain text whatever the prompts are.
    The policy's scores are caught where the loss computes them. The KL to the start is measured on
    the first KL_RESPONSES of an update: on all responses it would be a fifth of the run's time.
    """

    def __init__(
        self,
        *,
        prompts: Sequence[Prompt],
        start_model: Any,
        earning: Earning,
        run_seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(reward_funcs=self._earned, **kwargs)
        self._prompts = prompts
        self._score_start = fixed(self.accelerator, start_model, rollout.score_fixed)
        self._earning = earning
        self._run_seed = run_seed
        self._rewards: list[float] = []
        self._advantages: list[float] = []
        self._measured: list[rollout.Measured] = []
        if self.accelerator.num_processes > 1:
            self.model.base_model.register_forward_hook(partial(_gather_head, self.model))

    def updates(self) -> list[rllog.Update]:
        """The rows of the log, of the updates before a kill too: they are part of the state."""
        rows = [entry[_UPDATE] for entry in self.state.log_history if _UPDATE in entry]
        return [rllog.Update(**{**row, "advantages": tuple(row["advantages"])}) for row in rows]

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Log an update with its row; all processes come here after each."""
        if "loss" in logs:
            logs = {**logs, _UPDATE: asdict(self._row(logs["loss"]))}
        super().log(logs, start_time)

    def _row(self, loss: float) -> rllog.Update:
        measured, self._measured = gather_object(self._measured), []
        return rllog.Update(
            update=self.state.global_step,
            reward_mean=sum(self._rewards) / len(self._rewards),
            correct_share=rllog.correct_share(self._rewards, self._earning.correct),
            zero_variance_share=rllog.zero_variance_share(self._rewards, self.num_generations),
            loss=loss,
            value_loss=None,
            advantages=tuple(self._advantages),
            **rollout.means(measured),
        )

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine; trl would report each run to its maintainers."""

    def _earned(self, completions: list[str], problem: list[int], **_: Any) -> list[float]:
        """The rewards of this process's part of the responses; those of all are kept."""
        reward = self._earning.reward
        own = [reward(index, text) for index, text in zip(problem, completions, strict=True)]
        self._rewards = dealt = gather_object(own)
        if self._earning.shuffled:
            seed = rollout.derived_seed("shuffle", self._run_seed, self.state.global_step + 1)
            dealt = random.Random(seed).sample(self._rewards, len(self._rewards))
        first = self.accelerator.process_index * len(own)
        return dealt[first : first + len(own)]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        process = self.accelerator.process_index
        purpose = f"samples of process {process}" if process else "samples"
        update = self.state.global_step + 1
        torch.manual_seed(rollout.derived_seed(purpose, self._run_seed, update))
        samples = super()._generate_and_score_completions(inputs)
        self._advantages = self.accelerator.gather(samples["advantages"]).tolist()
        return samples

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Token ids of the prompts of these indices; no images and nothing else beside them."""
        asked = [self._prompts[int(index)] for index in prompts]
        return prompt_ids(self.processing_class, asked), None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        # each process takes the steps that its own responses take
        with held_whole(self.model), generating_with_room(self.model, synced_gpus=False):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        log_probs, entropies, auxiliary_loss = super()._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, **kwargs
        )
        if torch.is_grad_enabled():
            batch = rollout.Batch(input_ids, attention_mask, attention_mask[:, -logits_to_keep:])
            start = None
            # the parts of all processes are of one size
            seen = sum(part.responses for part in self._measured) * self.accelerator.num_processes
            if seen < KL_RESPONSES:
                start = self._score_start(batch, self.temperature).log_probs
            self._measured.append(
                rollout.measure(log_probs.detach(), entropies.detach(), start, batch)
            )
        return log_probs, entropies, auxiliary_loss


def _gather_head(model: Any, *_: Any) -> None:
    """Gather the weight of the head, which trl multiplies by without calling the head.

    Where accelerate has put it into one group with the last norm, that is so already. It does not
    find the norm of Mllama: trl then gathers the weight by itself, and each process keeps the
    gradient of its own responses for its part of it, instead of that of all.
    """
    model.get_output_embeddings().unshard()
