# SPDX-License-Identifier: MIT
"""Supervised fine-tuning: one segment of the chain, or the LoRA arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from derotate.models import checkpoint as checkpoints
from derotate.stages.data import read_jsonl
from derotate.tasks.samples import Sample
from derotate.training.fsdp import ONE_PROCESS, Compute
from derotate.training.full_weights import load_in_first
from derotate.training.launch import launch
from derotate.training.resume import Kept
from derotate.training.sft import Adapter, Optimisation, train


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
    compute: Compute = ONE_PROCESS,
    origin: str = "",
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
        compute: processes, micro-batches, precision; with `save_state_every`, what a call that was
            killed has kept is gone on from.
        origin: digest of settings and code; nothing that was kept under another is gone on from.

    Raises:
        LaunchError: one of several processes failed.
    """
    read = [path for path in (start / "model.safetensors", samples, resume_from) if path]
    kept = Kept.beside(log, compute, origin=origin, read=read)
    launch(
        _train,
        processes=compute.processes,
        beside=log,
        arguments={
            "start": start,
            "samples": samples,
            "optimisation": optimisation,
            "directories": kept.checkpoints(directories) if kept else dict(directories),
            "log": log,
            "resume_from": resume_from,
            "state": state,
            "adapter": adapter,
            "compute": compute,
            "kept": kept,
        },
    )
    if kept:
        kept.deliver(directories)


def _train(
    *,
    start: Path,
    samples: Path,
    optimisation: Optimisation,
    directories: Mapping[int, Path],
    log: Path,
    resume_from: Path | None,
    state: Path | None,
    adapter: Adapter | None,
    compute: Compute,
    kept: Kept | None,
) -> None:
    """What each process does."""
    model, tokenizer = load_in_first(start, dtype=torch.float32)
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
        compute=compute,
        kept=kept,
        dtype=checkpoints.own_dtype(start),
    )
