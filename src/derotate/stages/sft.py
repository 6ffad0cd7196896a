# SPDX-License-Identifier: MIT
"""Supervised fine-tuning: one segment of the chain, or the LoRA arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from derotate import checkpoints
from derotate.stages.data import read_jsonl
from derotate.tasks.samples import Sample
from derotate.training.supervised import Adapter, Optimisation, train


def train_sft(
    *,
    start: Path,
    samples: Path,
    optimisation: Optimisation,
    directories: Mapping[int, Path],
    log: Path,
    resume_from: Path | None = None,
    state: Path | None = None,
    adapter: Adapter | None = None,
) -> None:
    """Train from the base, or on from the state that the segment before left.

    Args:
        start: the base; gives architecture and tokenizer, and the weights of the first segment.
        samples: JSON lines of prompt and response, in the order of training.
        optimisation: rate, batch, warm-up, seed.
        directories: step -> checkpoint to leave; an adapter's is merged into the whole model.
        log: table of the loss by step.
        resume_from: state of the segment before; None for the first.
        state: where the next segment resumes; None where there is none.
        adapter: train this LoRA adapter; None trains all weights.
    """
    model, tokenizer = checkpoints.load(start)
    train(
        model=model,
        tokenizer=tokenizer,
        samples=[Sample(line["prompt"], line["response"]) for line in read_jsonl(samples)],
        optimisation=optimisation,
        directories=directories,
        log=log,
        resume_from=resume_from,
        state=state,
        adapter=adapter,
    )
