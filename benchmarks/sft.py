# SPDX-License-Identifier: MIT
"""Steps of derotate's SFT (trl's SFTTrainer) beside a bare PyTorch loop on the same batches.

Both are timed by one clock that ticks when the model's forward pass begins, so that a step is all
from one forward pass to the next and start-up does not count.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from comparison import REPEATS, THREADS, Comparison, alternate, show

from derotate.config.schema import Config
from derotate.config.training import Compute
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.tasks.general_points.pretraining import WORDS
from derotate.tasks.general_points.prompts import compact_prompt, compact_response
from derotate.tasks.general_points.streams import id_stream
from derotate.tasks.samples import Sample
from derotate.training.sft import Optimisation, SftJob, train

STEPS = 50
WARM_UP = 5
"""First steps left out of the time."""
LOGGED = 10
"""Steps that derotate's log averages a loss over."""
TOLERANCE = 1e-4
"""Largest relative difference of two logged losses, which are sums of float32 in two orders."""


class Clock:
    """Notes when each forward pass of a model begins."""

    def __init__(self, model: Any) -> None:
        self._ticks: list[float] = []
        model.register_forward_pre_hook(lambda *_: self._ticks.append(perf_counter()))

    def seconds_a_step(self) -> float:
        """Mean time from one forward pass to the next, after the first `WARM_UP`."""
        ticks = self._ticks[min(WARM_UP, len(self._ticks) - 2) :]
        return (ticks[-1] - ticks[0]) / (len(ticks) - 1)


def id_samples(count: int) -> list[Sample]:
    """Samples of SFT as the demo trains on them, in their order."""
    problems = islice(id_stream("train", seed=1), count)
    return [Sample(compact_prompt(problem), compact_response(problem)) for problem in problems]


def optimisation(config: Config) -> Optimisation:
    """The SFT settings of a study."""
    return Optimisation(
        learning_rate=config.sft.learning_rate,
        batch_size=config.sft.batch_size,
        warmup_steps=config.sft.warmup_steps,
        schedule="constant_with_warmup",
        seed=1,
    )


def our_training(
    model: Any, tokenizer: Any, samples: Sequence[Sample], settings: Optimisation
) -> list[float]:
    """Train by `derotate.training.sft`; the losses of its log."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        log = Path(folder) / "log.csv"
        checkpoints = {len(samples) // settings.batch_size: Path(folder) / "end"}
        train(model, tokenizer, samples, SftJob(settings, checkpoints, log, Compute()))
        return pd.read_csv(log)["loss"].tolist()


def bare_training(
    model: Any, tokenizer: Any, samples: Sequence[Sample], settings: Optimisation
) -> list[float]:
    """The same by a plain loop: AdamW, warm-up, clipping at 1, padding on the right."""
    prompts = [tokenizer(sample.prompt)["input_ids"] for sample in samples]
    answers = [
        [*tokenizer(sample.completion, add_special_tokens=False)["input_ids"], end]
        for sample in samples
        for end in [tokenizer.eos_token_id]
    ]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=0.0, fused=True
    )
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / settings.warmup_steps)
    )
    model.train()
    losses = []
    for start in range(0, len(samples), settings.batch_size):
        batch = list(
            zip(
                prompts[start : start + settings.batch_size],
                answers[start : start + settings.batch_size],
                strict=True,
            )
        )
        width = max(len(prompt) + len(answer) for prompt, answer in batch)
        ids = torch.full((len(batch), width), tokenizer.pad_token_id)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        labels = torch.full((len(batch), width), -100)
        for row, (prompt, answer) in enumerate(batch):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            mask[row, :end] = 1
            labels[row, len(prompt) : end] = torch.tensor(answer)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warm_up.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    logged = [losses[i : i + LOGGED] for i in range(0, len(losses) - LOGGED + 1, LOGGED)]
    return [sum(part) / len(part) for part in logged]


def compare(repeats: int = REPEATS, steps: int = STEPS) -> Comparison:
    """Seconds a step of the demo's SFT, from the same random weights."""
    torch.set_num_threads(THREADS)
    config = Config()
    settings = optimisation(config)
    tokenizer = tiny_tokenizer(WORDS)
    start = tiny_model(config.model, tokenizer, seed=1)
    samples = id_samples(steps * settings.batch_size)
    differences: list[float] = []
    losses: dict[int, list[float]] = {}

    def ours(repeat: int) -> float:
        model = deepcopy(start)
        clock = Clock(model)
        losses[repeat] = our_training(model, tokenizer, samples, settings)
        return clock.seconds_a_step()

    def baseline(repeat: int) -> float:
        model = deepcopy(start)
        clock = Clock(model)
        bare = bare_training(model, tokenizer, samples, settings)
        differences.extend(
            abs(our - loss) / loss for our, loss in zip(losses[repeat], bare, strict=True)
        )
        return clock.seconds_a_step()

    ours_seconds, baseline_seconds = alternate(ours, baseline, repeats)
    return Comparison(
        name=f"SFT by trl, {steps} steps of {settings.batch_size} samples",
        baseline="bare PyTorch loop",
        unit="step",
        target=0.9,
        ours_seconds=ours_seconds,
        baseline_seconds=baseline_seconds,
        equal=max(differences) <= TOLERANCE,
        checked=f"{len(losses[0])} logged losses differ by at most {max(differences):.1e} "
        f"(bound {TOLERANCE:g})",
    )


if __name__ == "__main__":
    show(compare())
