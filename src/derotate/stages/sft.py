# SPDX-License-Identifier: MIT
"""Supervised fine-tuning: one segment of the chain, or an arm beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from derotate.models.checkpoint import checkpoint_dtype
from derotate.stages.data import read_jsonl
from derotate.tasks.samples import Sample
from derotate.training.full_weights import load_on_main_process
from derotate.training.launch import launch
from derotate.training.resume import ResumeFolder
from derotate.training.sft import SftJob, train


def train_sft(job: SftJob, *, start: Path, samples: Path, origin: str = "") -> None:
    """Train one segment, from the base or from the training state of the previous segment.

    Args:
        job: the segment.
        start: the base; gives architecture and tokenizer, and the weights of the first segment.
        samples: JSON lines of prompt and response, in the order of training.
        origin: digest of settings and code; a state saved under another is not resumed from.

    Raises:
        LaunchError: one of several processes failed.
    """
    inputs = [start / "model.safetensors", samples]
    if job.previous_state:
        inputs.append(job.previous_state)
    resume = ResumeFolder.beside(job.log, job.compute, origin=origin, inputs=inputs)
    launched = job
    if resume:
        launched = replace(job, checkpoints=resume.checkpoints(job.checkpoints), resume=resume)
    launch(
        _train,
        processes=job.compute.processes,
        log=job.log,
        arguments={"job": launched, "start": start, "samples": samples},
    )
    if resume:
        resume.deliver(job.checkpoints)


def _train(job: SftJob, start: Path, samples: Path) -> None:
    """Run in each process."""
    model, tokenizer = load_on_main_process(start, dtype=torch.float32)
    lines = [Sample(line["prompt"], line["response"]) for line in read_jsonl(samples)]
    train(model, tokenizer, lines, job, dtype=checkpoint_dtype(start))
