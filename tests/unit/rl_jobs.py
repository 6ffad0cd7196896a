# SPDX-License-Identifier: MIT
"""Small GRPO runs that tests run in several processes, or in one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from training_jobs import WORDS, looks_trained

from derotate import checkpoints
from derotate.models import tiny_tokenizer
from derotate.settings import Grpo
from derotate.training import grpo
from derotate.training.compute import ONE_PROCESS, Compute
from derotate.training.measuring import MeasuringTrainer

PROMPTS: Final = ("a", "b b", "a b", "b a a", "c d c d")
LENGTH: Final = 6
SETTINGS: Final = Grpo(learning_rate=1e-3, updates=3, prompts=3, group_size=4, temperature=1.0)


@dataclass(frozen=True)
class Job:
    """A run from a tiny model, on responses that are dealt or that it samples itself."""

    compute: Compute = ONE_PROCESS
    model: str = "qwen2"
    dtype: torch.dtype = torch.float32
    settings: Grpo = SETTINGS
    shuffled: bool = False
    dealt: bool = True


def reward(index: int, response: str) -> float:
    """By the words of a response, and not that of every response of a group."""
    return float(response.count("a")) - response.count("b") + index


def run(jobs: Mapping[str, Job], folder: Path) -> None:
    """Run the jobs, one after the other, each in its folder: what each process does."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        process = os.environ.get("RANK", "0")
        tokenizer = tiny_tokenizer(WORDS)
        start, heard = folder / name / f"start-{process}", list[tuple[int, str]]()

        def listen(index: int, response: str, heard: list = heard) -> float:
            heard.append((index, response))
            return reward(index, response)

        checkpoints.save(looks_trained(job.model).to(job.dtype), tokenizer, start)
        with _dealt(len(tokenizer)) if job.dealt else _own():
            grpo.train(
                start=start,
                checkpoints={update: folder / name / f"step-{update}" for update in (2, 3)},
                log=folder / name / "log.csv",
                prompts=PROMPTS,
                reward=listen,
                settings=job.settings,
                max_new_tokens=LENGTH,
                seed=7,
                correct_reward=1.0,
                shuffled=job.shuffled,
                compute=job.compute,
            )
        (folder / name / f"heard-{process}.json").write_text(json.dumps(heard))


@contextmanager
def _own() -> Iterator[None]:
    yield


@contextmanager
def _dealt(words: int) -> Iterator[None]:
    """Responses that depend on the update and the place in it alone, of many lengths."""

    def deal(trainer: MeasuringTrainer, prompts: list[Any], *_: Any) -> tuple[list[Any], None]:
        generator = torch.Generator().manual_seed(trainer.state.global_step)
        all_of_them = SETTINGS.prompts * SETTINGS.group_size
        lengths = torch.randint(1, LENGTH, (all_of_them,), generator=generator).tolist()
        drawn = [torch.randint(3, words, (n,), generator=generator).tolist() for n in lengths]
        first = trainer.accelerator.process_index * len(prompts)
        end = trainer.processing_class.eos_token_id
        return [[*ids, end] for ids in drawn[first : first + len(prompts)]], None

    sampled = MeasuringTrainer._generate_single_turn
    MeasuringTrainer._generate_single_turn = deal  # type: ignore[method-assign]
    try:
        yield
    finally:
        MeasuringTrainer._generate_single_turn = sampled  # type: ignore[method-assign]
