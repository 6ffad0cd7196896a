# SPDX-License-Identifier: MIT
"""Small GRPO runs that tests run in several processes, or in one that they kill."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import model_zoo
import torch
import training_jobs
from training_jobs import MODELS, WORDS

from derotate.config.model import TinyModel
from derotate.config.rl import Grpo
from derotate.models import checkpoint as checkpoints
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.stages import grpo as stage
from derotate.stages.data import write_rl_problems
from derotate.tasks.general_points import pretraining
from derotate.training import grpo
from derotate.training.fsdp import ONE_PROCESS, Compute
from derotate.training.grpo_trainer import MeasuringTrainer

PROMPTS: Final = ("a", "b b", "a b", "b a a", "c d c d")
LENGTH: Final = 12
SETTINGS: Final = Grpo(learning_rate=3e-4, updates=3, prompts=4, group_size=4, temperature=1.0)
TASK: Final = "general_points"
LAST: Final = 4

Responses = list[list[int]]


@dataclass(frozen=True)
class Job:
    """A run from a tiny model, on responses that it draws, or on those of another run's folder."""

    compute: Compute = ONE_PROCESS
    model: str = "qwen2"
    dtype: torch.dtype = torch.float32
    settings: Grpo = SETTINGS
    shuffled: bool = False
    replayed: Path | None = None


def reward(index: int, response: str) -> float:
    """By the words of a response, and not that of every response of a group."""
    return float(response.count("a")) - response.count("b") + index


def write_starts(jobs: Mapping[str, Job], folder: Path) -> None:
    """The start of each job, in its folder; three of its eight tokens end a response."""
    tokenizer = tiny_tokenizer(WORDS)
    for name, job in jobs.items():
        model = MODELS[job.model](vocabulary=len(tokenizer))
        model_zoo.power_law(model, seed=1)
        model.generation_config.eos_token_id = [2, 3, len(tokenizer) - 1]
        checkpoints.save(model.to(job.dtype), tokenizer, folder / name / "start")


def run(jobs: Mapping[str, Job], folder: Path) -> None:
    """Run the jobs, one after the other, each in its folder: what each process does."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        with _responses(job.replayed) as drawn:
            grpo.train(
                start=folder / name / "start",
                checkpoints={job.settings.updates: folder / name / "end"},
                log=folder / name / "log.csv",
                prompts=PROMPTS,
                reward=reward,
                settings=job.settings,
                max_new_tokens=LENGTH,
                seed=7,
                correct_reward=1.0,
                shuffled=job.shuffled,
                compute=job.compute,
            )
        process = os.environ.get("RANK", "0")
        (folder / name / f"sampled-{process}.json").write_text(json.dumps(drawn))


@contextmanager
def _responses(replayed: Path | None) -> Iterator[list[Responses]]:
    """Those that a run draws, update by update, or those that it is given of another run's."""
    seen: list[Responses] = []
    sample = MeasuringTrainer._generate_single_turn

    def respond(trainer: MeasuringTrainer, prompts: list[Any], *rest: Any) -> tuple[Responses, Any]:
        if replayed is None:
            ids = sample(trainer, prompts, *rest)[0]
        else:
            drawn = (sampled(replayed, process)[len(seen)] for process in (0, 1))
            ids = list(chain.from_iterable(drawn))
        seen.append(ids)
        return ids, None

    MeasuringTrainer._generate_single_turn = respond  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        MeasuringTrainer._generate_single_turn = sample  # type: ignore[method-assign]


def sampled(folder: Path, process: int) -> list[Responses]:
    """Token ids of the responses of a process of two, or of one, by update."""
    responses: list[Responses] = json.loads((folder / f"sampled-{process}.json").read_text())
    return responses


def prepare(folder: Path) -> None:
    """Write what `heal` reads."""
    tokenizer = tiny_tokenizer(pretraining.WORDS)
    model = tiny_model(
        TinyModel(hidden_size=32, intermediate_size=48, layers=2, heads=2), tokenizer, seed=1
    )
    checkpoints.save(model, tokenizer, folder / "start")
    write_rl_problems(TASK, seed=1, count=20, out=folder / "problems.csv")


def heal(folder: Path, out: Path, compute: Compute, origin: str = "") -> None:
    """The stage, with checkpoints on the way."""
    stage.train(
        TASK,
        style="compact",
        start=folder / "start",
        problems=folder / "problems.csv",
        settings=SETTINGS.model_copy(update={"updates": LAST}),
        max_new_tokens=LENGTH,
        seed=7,
        directories={update: out / f"step-{update}" for update in (1, LAST)},
        log=out / "log.csv",
        compute=compute,
        origin=origin,
    )


# the processes that this one starts run the file by the second name
if __name__ in {"__main__", "__mp_main__"}:
    torch.set_num_threads(1)
    training_jobs.stop_after(2)
if __name__ == "__main__":
    heal(Path(sys.argv[1]), Path(sys.argv[2]), Compute(**json.loads(sys.argv[3])))
