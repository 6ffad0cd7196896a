# SPDX-License-Identifier: MIT
"""Supervised fine-tuning by trl's SFTTrainer: the base, each SFT segment, and the SFT arms.

Samples are trained on in the order of their file; nothing is shuffled here. A segment starts from a
model, or resumes the training state of the previous segment (weights, optimizer, schedule, random
numbers). It then equals an uninterrupted run bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType
from transformers import Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from derotate.files.atomic import atomic_write
from derotate.models import checkpoint as checkpoints
from derotate.models.chat import answer_ids, prompt_ids
from derotate.models.mllama import freeze_image_parameters
from derotate.tasks.samples import Sample
from derotate.training.collectives import is_main_process, shared_scratch
from derotate.training.fsdp import FsdpTrainer, trainer_arguments
from derotate.training.full_weights import FullWeights, merge_adapter
from derotate.training.resume import ResumeFolder, SaveTrainingState

if TYPE_CHECKING:
    from derotate.config.training import Compute

LOG_EVERY = 10
"""Steps per row of the log."""
IGNORED = -100
"""Label of a token that has no loss."""


@dataclass(frozen=True)
class Optimisation:
    """Batches and learning rate: linear warm-up, then constant or a cosine decay to zero."""

    learning_rate: float
    batch_size: int
    warmup_steps: int
    schedule: Literal["constant_with_warmup", "cosine"]
    seed: int


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on projection matrices, trained in place of all weights."""

    rank: int
    alpha: float
    matrices: tuple[str, ...]


@dataclass(frozen=True)
class SftJob:
    """One SFT segment: what the script builds, and what each process is started with.

    Attributes:
        optimisation: batch size, learning rate, schedule, seed.
        checkpoints: step -> directory of the checkpoint to leave; the last step ends the segment.
        log: CSV of step, loss, learning rate and gradient norm.
        compute: processes, micro-batches, precision; how often states are saved for `resume`.
        adapter: LoRA adapter to train and to merge into the checkpoints; None trains all weights.
        previous_state: training state of the previous segment; None for the first.
        final_state: where to leave the training state for the next segment; None leaves none.
        resume: where training states are saved; the segment resumes from the latest.
        log_every: steps per row of the log, whose loss is their mean.
    """

    optimisation: Optimisation
    checkpoints: Mapping[int, Path]
    log: Path
    compute: Compute
    adapter: Adapter | None = None
    previous_state: Path | None = None
    final_state: Path | None = None
    resume: ResumeFolder | None = None
    log_every: int = LOG_EVERY


class SaveCheckpoints(TrainerCallback):
    """Saves a checkpoint after each of the given steps, with a LoRA adapter merged in."""

    def __init__(
        self,
        directories: Mapping[int, Path],
        tokenizer: Any,
        gather: Callable[[Any], Any] = merge_adapter,
    ) -> None:
        self._directories = directories
        self._tokenizer = tokenizer
        self._gather = gather

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save if a checkpoint of this step was requested."""
        directory = self._directories.get(state.global_step)
        if directory is not None:
            # a collective operation: every process gathers, the main process writes
            model = self._gather(kwargs["model"])
            if is_main_process():
                checkpoints.save(model, self._tokenizer, directory)


class PlainLossTrainer(FsdpTrainer, SFTTrainer):
    """SFTTrainer with the loss of transformers' Trainer: the same number, without trl's metrics.

    Entropy and token accuracy of each batch take a tenth of a step here. Evaluation measures
    accuracy on full answers anyway.
    """

    compute_loss = Trainer.compute_loss


def train(
    model: Any,
    tokenizer: Any,
    samples: Sequence[Sample],
    job: SftJob,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Train on `samples` in their order, up to the last step of the job.

    All processes call this with the same arguments; the main process writes.

    Args:
        model: initial model, in float32, since a bf16 weight rounds away an optimizer step. Weights
            are replaced by those of a resumed state. With several processes, those of the main
            process are used.
        tokenizer: of the model.
        samples: `batch_size` per step, for the steps of this segment only.
        job: the segment.
        dtype: of the weights in its checkpoints.
    """
    optimisation = job.optimisation
    last_step = max(job.checkpoints)
    resume_from = job.previous_state
    latest = job.resume.latest_state() if job.resume else None
    if latest:
        done, resume_from = latest
        samples = samples[len(samples) - (last_step - done) * optimisation.batch_size :]
        if is_main_process():
            print(f"resuming from checkpoint at step {done}")
    freeze_image_parameters(model)
    lora = _lora_config(job.adapter) if job.adapter else None
    full_weights = FullWeights(type(model), adapter=lora, sharded=job.compute.sharded, dtype=dtype)
    with shared_scratch(job.log) as output_dir:
        config = SFTConfig(
            output_dir=str(output_dir),
            max_steps=last_step,
            learning_rate=optimisation.learning_rate,
            lr_scheduler_type=optimisation.schedule,
            warmup_steps=optimisation.warmup_steps,
            weight_decay=0.0,
            train_sampling_strategy="sequential",
            # `samples` holds only the steps of this segment
            ignore_data_skip=True,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            **trainer_arguments(job.compute, optimisation.batch_size),
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=False,
            # states are saved by `SaveTrainingState`
            save_strategy="no",
            logging_steps=job.log_every,
            report_to="none",
            disable_tqdm=True,
            seed=optimisation.seed,
        )
        trainer = PlainLossTrainer(
            model=model,
            args=config,
            train_dataset=tokenised_dataset(tokenizer, samples),
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[
                SaveCheckpoints(job.checkpoints, tokenizer, full_weights.gather),
                SaveTrainingState(
                    last_step=last_step,
                    final_state=job.final_state,
                    every=job.compute.save_state_every,
                    resume=job.resume,
                ),
            ],
        )
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if is_main_process():
            _write_log(trainer.state.log_history, job.log)


def _lora_config(adapter: Adapter) -> LoraConfig:
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=list(adapter.matrices),
    )


def tokenised_dataset(tokenizer: Any, samples: Sequence[Sample]) -> Dataset:
    """Token ids and labels; only the completion is trained on, with its end token if it ends."""
    prompts = prompt_ids(tokenizer, [sample.prompt for sample in samples])
    answers = answer_ids(tokenizer, [sample.completion for sample in samples])
    answers = [
        ids if sample.ends else ids[:-1] for ids, sample in zip(answers, samples, strict=True)
    ]
    parts = list(zip(prompts, answers, strict=True))
    return Dataset.from_dict(
        {
            "input_ids": [prompt + answer for prompt, answer in parts],
            "labels": [[IGNORED] * len(prompt) + answer for prompt, answer in parts],
        }
    )


def _write_log(history: Sequence[Mapping[str, float]], log: Path) -> None:
    columns = ["step", "loss", "learning_rate", "grad_norm"]
    rows = pd.DataFrame([entry for entry in history if "loss" in entry], columns=columns)
    with atomic_write(log) as part:
        rows.to_csv(part, index=False, float_format="%.6g")
