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
- Weights and optimizer in float32, whatever the start has; the checkpoints have what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig

from derotate.models.chat import Prompt, stop_ids
from derotate.models.checkpoint import own_dtype
from derotate.models.text_only import freeze_unread
from derotate.training import rl_log as rllog
from derotate.training import rollout
from derotate.training.fsdp import ONE_PROCESS, Compute, arguments
from derotate.training.full_weights import Whole, load_in_first
from derotate.training.grpo_trainer import Earning, MeasuringTrainer
from derotate.training.launch import is_first, scratch_of_all
from derotate.training.resume import KeepStates, Kept
from derotate.training.sampler import for_grpo
from derotate.training.sft import SaveAtSteps

if TYPE_CHECKING:
    from derotate.config.rl import Grpo


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
    compute: Compute = ONE_PROCESS,
    kept: Kept | None = None,
) -> None:
    """Train the start checkpoint on the rewards of its own samples.

    Equal arguments give equal bytes, for one number of torch threads, which the caller sets. The
    samples depend on the number of processes, since each draws its part; the updates that given
    samples make do not.

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
        compute: in how many processes, which call this alike, and how each computes.
        kept: where states on the way go; the training goes on from the newest.

    Raises:
        ValueError: a checkpoint is asked for at an update that the run does not have.
    """
    rollout.require_updates(checkpoints, settings.updates)
    newest = kept.newest() if kept else None
    done = newest[0] if newest else 0
    if newest:
        print(f"goes on after update {done}, whose state was kept")
    start_model, tokenizer = load_in_first(start)
    model = load_in_first(start, dtype=torch.float32)[0]
    freeze_unread(model)
    whole = Whole(type(model), sharded=compute.sharded, dtype=own_dtype(start))
    stops = stop_ids(model, tokenizer)
    if stops != [model.generation_config.eos_token_id]:
        model.generation_config.eos_token_id = stops
    sampler = for_grpo(model, stops) if settings.rollouts == "vllm" else {}
    with scratch_of_all(log) as aside:
        trainer = MeasuringTrainer(
            prompts=prompts,
            start_model=start_model,
            earning=Earning(reward, correct_reward, shuffled),
            run_seed=seed,
            model=model,
            processing_class=tokenizer,
            args=_arguments(settings, compute, max_new_tokens, seed, aside, sampler),
            train_dataset=_dataset(len(prompts), settings, seed, done),
            callbacks=[
                SaveAtSteps(checkpoints, tokenizer, whole.of),
                KeepStates(
                    stop=settings.updates, state=None, every=compute.save_state_every, kept=kept
                ),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(newest[1]) if newest else None)
        if is_first():
            rllog.write(trainer.updates(), log)


def _dataset(problems: int, settings: Grpo, seed: int, done: int) -> Dataset:
    """The problems of the updates to come in their order; trl repeats each for its group."""
    drawn = [
        index
        for update in range(done + 1, settings.updates + 1)
        for index in rollout.problems_of_update(problems, settings.prompts, seed, update)
    ]
    return Dataset.from_dict({"prompt": [str(i) for i in drawn], "problem": drawn})


def _arguments(
    settings: Grpo,
    compute: Compute,
    max_new_tokens: int,
    seed: int,
    aside: Path,
    sampler: dict[str, Any],
) -> GRPOConfig:
    responses = settings.prompts * settings.group_size
    return GRPOConfig(
        output_dir=str(aside),
        max_steps=settings.updates,
        ignore_data_skip=True,
        **arguments(_in_passes(compute, responses), responses),
        **sampler,
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
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )


def _in_passes(compute: Compute, responses: int) -> Compute:
    """With micro-batches that one pass takes, as large as can be, where none are given."""
    share = responses // compute.processes
    most = max(size for size in range(1, rollout.CHUNK + 1) if share % size == 0)
    return replace(compute, micro_batch=compute.micro_batch or most)
