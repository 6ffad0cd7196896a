# SPDX-License-Identifier: MIT
"""Supervised fine-tuning: one segment of the chain, or the LoRA arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from derotate import checkpoints
from derotate.stages.data import read_jsonl
from derotate.tasks.samples import Sample
from derotate.training.supervised import Adapter, Optimisation, train


def train_segment(
    *,
    start: Path,
    resume_from: Path | None,
    samples: Path,
    optimisation: Optimisation,
    directories: Mapping[int, Path],
    state: Path,
    log: Path,
) -> None:
    """Train a segment: from the base, or on from the state that the segment before left.

    Args:
        start: the base; gives architecture and tokenizer, and the weights of the first segment.
        resume_from: state of the segment before; None for the first.
        samples: JSON lines of prompt and response, in the order of training.
        optimisation: rate, batch, warm-up, seed.
        directories: step -> checkpoint that the segment leaves.
        state: where the next segment resumes.
        log: table of the loss by step.
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
    )


def train_lora(
    *,
    start: Path,
    samples: Path,
    optimisation: Optimisation,
    adapter: Adapter,
    directories: Mapping[int, Path],
    log: Path,
) -> None:
    """Train a LoRA adapter on the samples of SFT and leave merged models; arguments as above."""
    model, tokenizer = checkpoints.load(start)
    train(
        model=model,
        tokenizer=tokenizer,
        samples=[Sample(line["prompt"], line["response"]) for line in read_jsonl(samples)],
        optimisation=optimisation,
        directories=directories,
        log=log,
        adapter=adapter,
    )
