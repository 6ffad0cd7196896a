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
from environments import ToyEnvironment
from training_jobs import MODELS, ONE_PROCESS, WORDS, stop_after

from derotate.config.model import TinyModel
from derotate.config.rl import Grpo
from derotate.config.training import Compute
from derotate.models import checkpoint as checkpoints
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.stages.data import write_rl_problems
from derotate.stages.rl import TaskEnvironment, train
from derotate.tasks.general_points import pretraining
from derotate.training import grpo
from derotate.training.grpo_trainer import SeededGRPOTrainer
from derotate.training.rl_job import RlJob

PROMPTS: Final = ("a", "b b", "a b", "b a a", "c d c d")
LENGTH: Final = 12
SETTINGS: Final = Grpo(learning_rate=3e-4, updates=3, prompts=4, group_size=4, temperature=1.0)
TASK: Final = "general_points"
LAST: Final = 4

Responses = list[list[int]]


@dataclass(frozen=True)
class Job:
    """A run from a tiny model, on its own samples, or on those in the folder of another run."""

    compute: Compute = ONE_PROCESS
    model: str = "qwen2"
    dtype: torch.dtype = torch.float32
    settings: Grpo = SETTINGS
    shuffled: bool = False
    replayed: Path | None = None


def reward(problem: int, response: str) -> float:
    """By the words of a response, so that it differs within a group."""
    return float(response.count("a")) - response.count("b") + problem


def write_starts(jobs: Mapping[str, Job], folder: Path) -> None:
    """The start of each job, in its folder; three of its eight tokens end a response."""
    tokenizer = tiny_tokenizer(WORDS)
    for name, job in jobs.items():
        model = MODELS[job.model](vocabulary=len(tokenizer))
        model_zoo.power_law(model, seed=1)
        model.generation_config.eos_token_id = [2, 3, len(tokenizer) - 1]
        checkpoints.save(model.to(job.dtype), tokenizer, folder / name / "start")


def run(jobs: Mapping[str, Job], folder: Path) -> None:
    """Run the jobs one after the other, each in its folder; run in each process."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        with _responses(job.replayed) as responses:
            grpo.train(
                RlJob(
                    environment=ToyEnvironment(PROMPTS, reward, correct_reward=1.0),
                    start=folder / name / "start",
                    checkpoints={job.settings.updates: folder / name / "end"},
                    log=folder / name / "log.csv",
                    settings=job.settings.model_copy(update={"compute": job.compute}),
                    max_new_tokens=LENGTH,
                    seed=7,
                    shuffle_rewards=job.shuffled,
                )
            )
        process = os.environ.get("RANK", "0")
        (folder / name / f"sampled-{process}.json").write_text(json.dumps(responses))


@contextmanager
def _responses(replayed: Path | None) -> Iterator[list[Responses]]:
    """The responses of a run, update by update: its own samples, or those of another run."""
    seen: list[Responses] = []
    sample = SeededGRPOTrainer._generate_single_turn

    def respond(
        trainer: SeededGRPOTrainer, prompts: list[Any], *rest: Any
    ) -> tuple[Responses, Any]:
        if replayed is None:
            ids = sample(trainer, prompts, *rest)[0]
        else:
            parts = (sampled(replayed, process)[len(seen)] for process in (0, 1))
            ids = list(chain.from_iterable(parts))
        seen.append(ids)
        return ids, None

    SeededGRPOTrainer._generate_single_turn = respond  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        SeededGRPOTrainer._generate_single_turn = sample  # type: ignore[method-assign]


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
    """The stage, with an intermediate checkpoint."""
    train(
        "grpo",
        RlJob(
            environment=TaskEnvironment(TASK, "compact", folder / "problems.csv"),
            start=folder / "start",
            checkpoints={update: out / f"step-{update}" for update in (1, LAST)},
            log=out / "log.csv",
            settings=SETTINGS.model_copy(update={"updates": LAST, "compute": compute}),
            max_new_tokens=LENGTH,
            seed=7,
        ),
        origin=origin,
    )


# processes that this one starts import the file under the second name
if __name__ in {"__main__", "__mp_main__"}:
    torch.set_num_threads(1)
    stop_after(2)
if __name__ == "__main__":
    heal(Path(sys.argv[1]), Path(sys.argv[2]), Compute.model_validate_json(sys.argv[3]))
