# SPDX-License-Identifier: MIT
"""Pretraining of the tiny base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from derotate import tasks
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.training.sft import Optimisation, train

if TYPE_CHECKING:
    from derotate.config.model import TinyModel
    from derotate.config.training import Base


def train_base(
    task: str, *, model: TinyModel, settings: Base, seed: int, directory: Path, log: Path
) -> None:
    """Train a tiny model from random weights on the task's pretraining mixture."""
    pretraining = tasks.load(task).pretraining
    shares = tuple(settings.mixture.model_dump().items())
    samples = pretraining.samples(shares, seed, settings.steps * settings.batch_size)
    tokenizer = tiny_tokenizer(pretraining.WORDS)
    train(
        model=tiny_model(model, tokenizer, seed),
        tokenizer=tokenizer,
        samples=list(samples),
        optimisation=Optimisation(
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            warmup_steps=settings.warmup_steps,
            schedule="cosine",
            seed=seed,
        ),
        directories={settings.steps: directory},
        log=log,
    )
