# SPDX-License-Identifier: MIT
"""Group-relative policy optimisation (DeepSeekMath, arXiv 2402.03300) by trl's GRPOTrainer.

The papers healed with PPO. GRPO needs no value head and is what the field runs today, so it is the
study's default. What the trainer leaves open is set as follows:

- Advantages are (reward - group mean) / group standard deviation, as in the GRPO paper. A group
  whose responses all earn the same has no gradient; `zero_variance_share` counts such groups.
- The loss is "dapo" (arXiv 2503.14476, eq. 12): the mean over all response tokens of the update.
  The original mean of per-response means penalises a long wrong response less than a short one
  (arXiv 2503.20783), and kinds of errors differ in length here.
- One optimizer step per update, on the responses it sampled. So the probability ratio is 1 and the
  clip range has no effect; it would matter only with several steps on the same responses.
- The KL to the start is in the loss only if `kl_coefficient` is above 0. It is always logged,
  measured on a part of the responses.
- AdamW without weight decay, constant learning rate, gradients clipped at norm 1 (trl's default).
- Weights and optimizer are float32 whatever the start checkpoint's dtype is. Checkpoints are saved
  in the start's dtype.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig

from derotate.models.chat import stop_ids
from derotate.models.checkpoint import checkpoint_dtype
from derotate.models.mllama import freeze_image_parameters
from derotate.training import rl_log, rollout
from derotate.training.collectives import is_main_process, shared_scratch
from derotate.training.fsdp import trainer_arguments
from derotate.training.full_weights import FullWeights, load_on_main_process
from derotate.training.grpo_trainer import SeededGRPOTrainer
from derotate.training.resume import SaveTrainingState
from derotate.training.rl_job import RlJob
from derotate.training.sft import SaveCheckpoints
from derotate.training.vllm_rollouts import grpo_arguments

if TYPE_CHECKING:
    from derotate.config.rl import Grpo
    from derotate.config.training import Compute


def train(job: RlJob[Grpo]) -> None:
    """Train the start checkpoint on the rewards of its own responses.

    Responses depend on the number of processes, since each process samples its own part. The update
    made from given responses does not.

    Args:
        job: the run; all of its processes call this with the same job.

    Raises:
        RolloutError: rollouts by vLLM of a model that vLLM does not have.
    """
    settings, compute = job.settings, job.compute
    latest = job.resume.latest_state() if job.resume else None
    done = latest[0] if latest else 0
    if latest and is_main_process():
        print(f"resuming from checkpoint at update {done}")
    start_model, tokenizer = load_on_main_process(job.start)
    model = load_on_main_process(job.start, dtype=torch.float32)[0]
    freeze_image_parameters(model)
    full_weights = FullWeights(
        type(model), sharded=compute.sharded, dtype=checkpoint_dtype(job.start)
    )
    stops = stop_ids(model, tokenizer)
    # trl ends generation at the model's own tokens only; those of the chat template are added
    if stops != [model.generation_config.eos_token_id]:
        model.generation_config.eos_token_id = stops
    vllm = grpo_arguments(model, stops) if settings.rollouts == "vllm" else {}
    with shared_scratch(job.log) as output_dir:
        trainer = SeededGRPOTrainer(
            job=job,
            start_model=start_model,
            model=model,
            processing_class=tokenizer,
            args=_arguments(job, output_dir, vllm),
            train_dataset=_dataset(job, done),
            callbacks=[
                SaveCheckpoints(job.checkpoints, tokenizer, full_weights.gather),
                SaveTrainingState(
                    last_step=settings.updates,
                    final_state=None,
                    every=compute.save_state_every,
                    resume=job.resume,
                ),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(latest[1]) if latest else None)
        if is_main_process():
            rl_log.write(trainer.updates(), job.log)


def _dataset(job: RlJob[Grpo], done: int) -> Dataset:
    """The problems of the updates after `done`, in order; trl repeats each for its group."""
    problems = [
        index
        for update in range(done + 1, job.settings.updates + 1)
        for index in rollout.problems_for_update(
            len(job.environment.prompts), job.settings.prompts, job.seed, update
        )
    ]
    return Dataset.from_dict({"prompt": [str(i) for i in problems], "problem": problems})


def _arguments(job: RlJob[Grpo], output_dir: Path, vllm: dict[str, Any]) -> GRPOConfig:
    settings = job.settings
    responses = settings.prompts * settings.group_size
    return GRPOConfig(
        output_dir=str(output_dir),
        max_steps=settings.updates,
        # `_dataset` leaves out the problems of updates that were done before a resume
        ignore_data_skip=True,
        **trainer_arguments(_with_micro_batch(job.compute, responses), responses),
        **vllm,
        num_generations=settings.group_size,
        num_iterations=1,
        shuffle_dataset=False,
        max_completion_length=job.max_new_tokens,
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
        # states are saved by `SaveTrainingState`
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        seed=job.seed,
    )


def _with_micro_batch(compute: Compute, responses: int) -> Compute:
    """If no micro-batch is set, set the largest up to MICRO_BATCH_SIZE that divides the share."""
    if compute.micro_batch:
        return compute
    share = responses // compute.processes
    divisors = [n for n in range(1, rollout.MICRO_BATCH_SIZE + 1) if share % n == 0]
    return compute.model_copy(update={"micro_batch": max(divisors)})
