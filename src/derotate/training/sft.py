# SPDX-License-Identifier: MIT
"""Supervised training by trl's SFTTrainer: the base and every SFT segment.

Samples come in the order in which they are trained on; nothing is shuffled here, since the order
of an SFT run is a file. A run starts from a model or resumes the state that the segment before left
(weights, optimizer, schedule, random numbers); it then equals an uninterrupted run bit for bit.
With several processes, each of them calls `train` with the same arguments, and the first writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType
from transformers import Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from derotate.models import checkpoint as checkpoints
from derotate.models.chat import answer_ids, prompt_ids
from derotate.models.text_only import freeze_unread
from derotate.tasks.samples import Sample
from derotate.training.fsdp import ONE_PROCESS, Compute, ShardingTrainer, arguments
from derotate.training.full_weights import Whole, merged
from derotate.training.launch import is_first, scratch_of_all
from derotate.training.resume import KeepStates, Kept

LOG_EVERY = 10
"""Steps whose mean loss is a line of the log."""
IGNORED = -100
"""Label of a token without loss."""


@dataclass(frozen=True)
class Optimisation:
    """How the weights move. The schedule is linear warm-up, then constant or a cosine to zero."""

    learning_rate: float
    batch_size: int
    warmup_steps: int
    schedule: Literal["constant_with_warmup", "cosine"]
    seed: int


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in the projection matrices instead of training all weights."""

    rank: int
    alpha: float
    matrices: tuple[str, ...]


class SaveAtSteps(TrainerCallback):
    """Leaves a checkpoint after each of the named steps; of an adapter, the merged model."""

    def __init__(
        self,
        directories: Mapping[int, Path],
        tokenizer: Any,
        whole: Callable[[Any], Any] = merged,
    ) -> None:
        self._directories = directories
        self._tokenizer = tokenizer
        self._whole = whole

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save if the step that just ended is one of the named ones."""
        directory = self._directories.get(state.global_step)
        if directory is not None:
            model = self._whole(kwargs["model"])
            if is_first():
                checkpoints.save(model, self._tokenizer, directory)


class PlainLossTrainer(ShardingTrainer, SFTTrainer):
    """SFTTrainer with the loss of its base class: the same number, without trl's metrics.

    Entropy and token accuracy of each batch cost a tenth of a step here, and evaluation measures
    accuracy on whole answers anyway.
    """

    compute_loss = Trainer.compute_loss


def train(
    *,
    model: Any,
    tokenizer: Any,
    samples: Sequence[Sample],
    optimisation: Optimisation,
    directories: Mapping[int, Path],
    log: Path,
    resume_from: Path | None = None,
    state: Path | None = None,
    adapter: Adapter | None = None,
    compute: Compute = ONE_PROCESS,
    kept: Kept | None = None,
    log_every: int = LOG_EVERY,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Train on `samples` in their order, up to the last of the named steps.

    Args:
        model: start of the training, in float32, since a step is too small for bfloat16; its
            weights are replaced by those of `resume_from`. With several processes those of the
            first count.
        tokenizer: of the model.
        samples: `batch_size` a step, for just the steps of this call.
        optimisation: rate, batch, schedule, seed.
        directories: step -> checkpoint directory; the last step ends the training.
        log: CSV of step, loss, learning rate, gradient norm.
        resume_from: state directory that an earlier call left.
        state: where to leave the state for a later call; None keeps none.
        adapter: train this LoRA adapter; None trains all weights.
        compute: in how many processes, which call this alike, and how each computes.
        kept: where states on the way go; the training goes on from the newest.
        log_every: steps whose mean loss is a line of the log.
        dtype: of the weights of its checkpoints.
    """
    stop = max(directories)
    newest = kept.newest() if kept else None
    if newest:
        done, resume_from = newest
        samples = samples[len(samples) - (stop - done) * optimisation.batch_size :]
        print(f"goes on after step {done}, whose state was kept")
    freeze_unread(model)
    lora = _peft(adapter) if adapter else None
    whole = Whole(
        architecture=type(model),
        adapter=lora,
        sharded=compute.sharded,
        dtype=dtype,
    )
    with scratch_of_all(log) as aside:
        config = SFTConfig(
            output_dir=str(aside),
            max_steps=stop,
            learning_rate=optimisation.learning_rate,
            lr_scheduler_type=optimisation.schedule,
            warmup_steps=optimisation.warmup_steps,
            weight_decay=0.0,
            train_sampling_strategy="sequential",
            ignore_data_skip=True,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            **arguments(compute, optimisation.batch_size),
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_steps=log_every,
            report_to="none",
            disable_tqdm=True,
            seed=optimisation.seed,
        )
        trainer = PlainLossTrainer(
            model=model,
            args=config,
            train_dataset=_dataset(tokenizer, samples),
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[
                SaveAtSteps(directories, tokenizer, whole.of),
                KeepStates(stop=stop, state=state, every=compute.save_state_every, kept=kept),
            ],
        )
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if is_first():
            _write_log(trainer.state.log_history, log)


def _peft(adapter: Adapter) -> LoraConfig:
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=list(adapter.matrices),
    )


def _dataset(tokenizer: Any, samples: Sequence[Sample]) -> Dataset:
    """Token ids and labels; the loss is on the completion and, where it ends, the end token."""
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
    aside = log.with_name(f".{log.name}")
    rows.to_csv(aside, index=False, float_format="%.6g")
    os.replace(aside, log)
