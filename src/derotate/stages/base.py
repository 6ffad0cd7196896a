# SPDX-License-Identifier: MIT
"""Pretraining of the tiny base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from derotate import tasks
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.training.sft import SftJob, train

if TYPE_CHECKING:
    from derotate.config.model import TinyModel
    from derotate.config.training import Mixture


def train_base(task: str, *, model: TinyModel, mixture: Mixture, job: SftJob) -> None:
    """Train a tiny model from random weights on the task's pretraining mixture.

    Args:
        task: name of the task.
        model: size of the model.
        mixture: shares of the kinds of samples.
        job: steps, batches, learning rate, outputs.
    """
    pretraining = tasks.load(task).pretraining
    optimisation = job.optimisation
    samples = pretraining.samples(
        tuple(mixture.model_dump().items()),
        optimisation.seed,
        max(job.checkpoints) * optimisation.batch_size,
    )
    tokenizer = tiny_tokenizer(pretraining.WORDS)
    train(tiny_model(model, tokenizer, optimisation.seed), tokenizer, list(samples), job)
