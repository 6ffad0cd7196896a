# SPDX-License-Identifier: MIT
"""Group-relative policy optimisation (DeepSeekMath, arXiv 2402.03300) by trl's GRPOTrainer.

The papers healed with PPO; GRPO needs no value head and is what the field runs today, so it is the
study's default. Choices, each of which the trainer leaves open:

- Advantages are (reward - group mean) / group deviation, as in the GRPO paper. A group whose
  responses all earn the same then has no gradient, which is what `zero_variance_share` counts.
- The loss is "dapo" (arXiv 2503.14476, eq. 12): the mean over all response tokens of the update.
  The original mean of per-response means punishes a long wrong response less than a short one
  (arXiv 2503.20783), and error kinds differ in length here.
- One optimizer step an update, on the samples it drew. The probability ratio is therefore 1, and
  the clip range is inactive; it would matter only with several steps on the same samples.
- KL to the start enters the loss only with `kl_coefficient`; the log always has it, measured on
  a part of the responses.
- AdamW without weight decay, constant learning rate, gradients clipped at norm 1 (trl's default).
- Weights and optimizer in float32; matrix products too, or in bf16 if the start is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from derotate.checkpoints import load
from derotate.conversation import Prompt, prompt_ids, stop_ids
from derotate.kv_cache import generating_with_room
from derotate.scratch import scratch
from derotate.training import rllog, rollout
from derotate.training.supervised import SaveAtSteps
from derotate.training.whole import Whole

if TYPE_CHECKING:
    from derotate.settings import Grpo

KL_RESPONSES = 64
"""Responses of an update, from the first on, over which the KL to the start is measured."""


class MeasuringTrainer(GRPOTrainer):
    """GRPOTrainer whose samples are a function of weights, seed and update, and are measured.

    The column `prompt` of its data holds indices of `prompts`, as text: their token ids are then
    those of evaluation, and trl takes what it decodes for plain text whatever the prompts are.
    The policy's scores are caught where the loss computes them. The KL to the start is measured on
    the first KL_RESPONSES of an update: on all responses it would be a fifth of the run's time.
    """

    def __init__(
        self, *, prompts: Sequence[Prompt], start_model: Any, run_seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._prompts = prompts
        self._start_model = start_model.to(self.args.device)
        self._run_seed = run_seed
        self.measured: list[list[rollout.Measured]] = []
        self.advantages: list[tuple[float, ...]] = []

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine; trl would report each run to its maintainers."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        update = self.state.global_step + 1
        torch.manual_seed(rollout.derived_seed("samples", self._run_seed, update))
        samples = super()._generate_and_score_completions(inputs)
        self.advantages.append(tuple(samples["advantages"].tolist()))
        self.measured.append([])
        return samples

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Token ids of the prompts of these indices; no images and nothing else beside them."""
        asked = [self._prompts[int(index)] for index in prompts]
        return prompt_ids(self.processing_class, asked), None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        with generating_with_room(self.model):
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
            if sum(part.responses for part in self.measured[-1]) < KL_RESPONSES:
                start = rollout.score_fixed(self._start_model, batch, self.temperature).log_probs
            self.measured[-1].append(
                rollout.measure(log_probs.detach(), entropies.detach(), start, batch)
            )
        return log_probs, entropies, auxiliary_loss


def train(
    *,
    start: Path,
    checkpoints: Mapping[int, Path],
    log: Path,
    prompts: Sequence[Prompt],
    reward: Callable[[int, str], float],
    settings: Grpo,
    max_new_tokens: int,
    seed: int,
    correct_reward: float = rllog.FULL_REWARD,
    shuffled: bool = False,
) -> None:
    """Train the start checkpoint on the rewards of its own samples.

    Equal arguments give equal bytes, for one number of torch threads, which the caller sets.

    Args:
        start: checkpoint directory.
        checkpoints: update -> directory; the largest is the last update.
        log: CSV of one row an update; `advantages.csv` is written beside it.
        prompts: one a problem.
        reward: of a response (text, special tokens left out) to the prompt of that index.
        settings: of the run.
        max_new_tokens: length limit of a response.
        seed: of problems and samples.
        correct_reward: a response that earns this or more counts as correct in the log.
        shuffled: deal the rewards of each update to other responses at random, so that they keep
            their distribution and say nothing: the control of RL. The log shows what was earned.

    Raises:
        ValueError: a checkpoint is asked for at an update that the run does not have.
    """
    rollout.require_updates(checkpoints, settings.updates)
    start_model, tokenizer = load(start)
    model = load(start, dtype=torch.float32)[0]
    whole = Whole(type(model), dtype=start_model.dtype)
    stops = stop_ids(model, tokenizer)
    if stops != [model.generation_config.eos_token_id]:
        model.generation_config.eos_token_id = stops
    rewards: list[list[float]] = []

    def earned(completions: list[str], problem: list[int], **_: Any) -> list[float]:
        earnings = [reward(i, text) for i, text in zip(problem, completions, strict=True)]
        rewards.append(earnings)
        if not shuffled:
            return earnings
        return random.Random(rollout.derived_seed("shuffle", seed, len(rewards))).sample(
            earnings, len(earnings)
        )

    with scratch(log) as aside:
        trainer = MeasuringTrainer(
            prompts=prompts,
            start_model=start_model,
            run_seed=seed,
            model=model,
            processing_class=tokenizer,
            reward_funcs=earned,
            args=_arguments(
                settings, max_new_tokens, seed, aside, start_model.dtype == torch.bfloat16
            ),
            train_dataset=_dataset(len(prompts), settings, seed),
            callbacks=[SaveAtSteps(checkpoints, tokenizer, whole.of)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    updates = [
        rllog.Update(
            update=update,
            reward_mean=sum(earnings) / len(earnings),
            correct_share=rllog.correct_share(earnings, correct_reward),
            zero_variance_share=rllog.zero_variance_share(earnings, settings.group_size),
            loss=loss,
            value_loss=None,
            advantages=advantages,
            **rollout.means(measured),
        )
        for update, (earnings, loss, measured, advantages) in enumerate(
            zip(rewards, losses, trainer.measured, trainer.advantages, strict=True), start=1
        )
    ]
    rllog.write(updates, log)


def _dataset(problems: int, settings: Grpo, seed: int) -> Dataset:
    """The problems of all updates in their order; trl repeats each for its group."""
    drawn = [
        index
        for update in range(1, settings.updates + 1)
        for index in rollout.problems_of_update(problems, settings.prompts, seed, update)
    ]
    return Dataset.from_dict({"prompt": [str(i) for i in drawn], "problem": drawn})


def _arguments(
    settings: Grpo, max_new_tokens: int, seed: int, aside: Path, bf16: bool
) -> GRPOConfig:
    responses = settings.prompts * settings.group_size
    chunk = max(size for size in range(1, rollout.CHUNK + 1) if responses % size == 0)
    return GRPOConfig(
        output_dir=str(aside),
        max_steps=settings.updates,
        per_device_train_batch_size=chunk,
        gradient_accumulation_steps=responses // chunk,
        num_generations=settings.group_size,
        num_iterations=1,
        shuffle_dataset=False,
        max_completion_length=max_new_tokens,
        temperature=settings.temperature,
        loss_type="dapo",
        scale_rewards="group",
        epsilon=settings.clip,
        beta=settings.kl_coefficient,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        gradient_checkpointing=False,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )
