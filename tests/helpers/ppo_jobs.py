# SPDX-License-Identifier: MIT
"""PPO of tiny models that tests run in several processes, or in one that they kill."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import model_zoo
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from training_jobs import MODELS, looks_trained

from derotate.config.rl import Ppo
from derotate.models import checkpoint as checkpoints
from derotate.models.chat import pad_id
from derotate.models.text_only import freeze_unread
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.data import write_rl_problems
from derotate.stages.ppo import train
from derotate.tasks.general_points.pretraining import WORDS as WORDS_OF_TASK
from derotate.training import collectives as processes
from derotate.training import ppo, rollout
from derotate.training import rl_log as rllog
from derotate.training.fsdp import ONE_PROCESS, Compute
from derotate.training.full_weights import Whole
from derotate.training.improving import improve, valued
from derotate.training.launch import is_first
from derotate.training.multi_turn import Attempt
from derotate.training.ppo_policy import scored
from derotate.training.ppo_state import Learner
from derotate.training.resume import Kept

WORDS: Final = ("a", "b", "c", "d", "hint")
EPISODES: Final = 8
SETTINGS: Final = Ppo(
    temperature=0.8, learning_rate=1e-3, epochs=2, minibatches=3, prompts=EPISODES, attempts=3
)
TASK: Final = "general_points"
SHORT: Final = Ppo(
    temperature=1.0, learning_rate=1e-3, epochs=2, minibatches=2, updates=5, prompts=5, attempts=2
)
UPDATE: Final = rllog.Update(
    update=1,
    reward_mean=1 / 3,
    correct_share=0.25,
    zero_variance_share=None,
    loss=-1e-17,
    value_loss=0.1,
    entropy=3.9,
    kl_to_start=0.0,
    response_length=4.0,
    advantages=(0.1, -2 / 3),
)


@dataclass(frozen=True)
class Job:
    """Two updates of a tiny model on attempts that are given, the second on a kept state if cut."""

    compute: Compute = ONE_PROCESS
    model: str = "qwen2"
    minibatches: int = SETTINGS.minibatches
    max_grad_norm: float = SETTINGS.max_grad_norm
    cut: bool = False


def attempts() -> list[Attempt]:
    """Of episodes of one to three attempts; contexts and responses of many lengths."""
    draw = random.Random(5)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, 50) for _ in range(draw.randint(1, most)))

    return [
        Attempt(episode, ids(9), ids(5), draw.choice([-1.0, 0.0, 5.0]))
        for episode in range(EPISODES)
        for _ in range(1 + episode % 3)
    ]


def improved(jobs: Mapping[str, Job], folder: Path) -> None:
    """Take the optimizer steps of each job, and write losses and weights: in each process."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        settings = SETTINGS.model_copy(
            update={"minibatches": job.minibatches, "max_grad_norm": job.max_grad_norm}
        )
        device = processes.join(job.compute.processes)
        model = looks_trained(job.model)
        whole = Whole(type(model), sharded=job.compute.sharded)
        freeze_unread(model)
        learner = Learner.of(model, settings, 3, job.compute, device)
        at_once = job.compute.micro_batch or rollout.CHUNK
        played = attempts()
        batch = rollout.collate(
            [attempt.context for attempt in played],
            [attempt.response for attempt in played],
            pad_id(tiny_tokenizer(WORDS)),
            device,
        )
        scores = scored(learner.policy, batch, settings.temperature, at_once)
        taken = valued(played, batch, scores, learner.head, settings)
        losses = []
        for update in range(2):
            generator = torch.Generator().manual_seed(update)
            losses.append(improve(learner, taken, settings, generator=generator, at_once=at_once))
            if job.cut and not update:
                learner = _kept_and_resumed(learner, folder / f"{name}.kept", job, settings)
        norm: Any = nn.utils.get_total_norm([p.grad for p in learner.moving if p.grad is not None])
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        held = [*learner.moving, *learner.policy.parameters(), *learner.head.parameters()]
        held += [value for state in learner.optimizer.state.values() for value in state.values()]
        model = whole.of(learner.policy.model)
        head = get_model_state_dict(learner.head, options=StateDictOptions(full_state_dict=True))
        if is_first():
            checkpoints.save(model, tiny_tokenizer(WORDS), folder / name)
            torch.save(head, folder / name / "head.pt")
            told = {
                "losses": losses,
                "gradient_norm": norm.item(),
                "held": sum(_own(tensor).numel() for tensor in held),
                "advantages": taken.advantages.tolist(),
                "log_probs": taken.log_probs.tolist(),
                "values": taken.values.tolist(),
            }
            (folder / name / "told.json").write_text(json.dumps(told))


def _own(tensor: Any) -> Any:
    """What of a tensor this process holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _kept_and_resumed(learner: Learner, folder: Path, job: Job, settings: Ppo) -> Learner:
    """Another learner that has what a first one has learned, by way of the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    learner.keep(Kept(folder), [UPDATE])
    model = looks_trained(job.model)
    freeze_unread(model)
    other = Learner.of(model, settings, 4, job.compute, learner.policy.device)
    assert other.resumed(Kept(folder)) == [UPDATE]
    return other


def prepare(folder: Path, model: str, dtype: torch.dtype) -> None:
    """Write the checkpoint that `run` starts from."""
    _write_start(folder, tiny_tokenizer(WORDS), model, dtype)


def run(folder: Path, out: Path, settings: Ppo, compute: Compute) -> None:
    """A whole run, with a checkpoint on the way: in each process, which writes what it heard.

    Both problems ask the same; the first is solved by any response, the other one by none.
    """
    torch.set_num_threads(1)
    heard: list[tuple[str, float]] = []

    def judge(index: int, response: str) -> tuple[float, bool, str]:
        reward = 5.0 if index == 0 else float(len(response) % 3)
        heard.append((response, reward))
        return reward, index == 0, "hint a"

    ppo.train(
        start=folder / "start",
        checkpoints={update: out / f"step-{update}" for update in {2, settings.updates}},
        log=out / "log.csv",
        prompts=("a b", "a b"),
        judge=judge,
        settings=settings,
        max_new_tokens=4,
        seed=3,
        compute=compute,
    )
    (out / f"heard-{processes.rank()}.json").write_text(json.dumps(heard))


def prepare_stage(folder: Path) -> None:
    """Write what `stage` reads."""
    _write_start(folder, tiny_tokenizer(WORDS_OF_TASK), "qwen2", torch.float32)
    write_rl_problems(TASK, seed=1, count=20, out=folder / "problems.csv")


def stage(folder: Path, out: Path, compute: Compute, origin: str = "") -> None:
    """The stage, with checkpoints on the way."""
    train(
        TASK,
        style="compact",
        start=folder / "start",
        problems=folder / "problems.csv",
        settings=SHORT,
        max_new_tokens=8,
        seed=3,
        directories={update: out / f"step-{update}" for update in (3, SHORT.updates)},
        log=out / "log.csv",
        compute=compute,
        origin=origin,
    )


def _write_start(folder: Path, tokenizer: Any, name: str, dtype: torch.dtype) -> None:
    """A model that looks trained and says nothing but the words of the tokenizer."""
    model = MODELS[name](vocabulary=len(tokenizer))
    model_zoo.power_law(model, seed=1)
    checkpoints.save(model.to(dtype), tokenizer, folder / "start")


def _stop_after(update: int) -> None:
    """Wait for a kill when the state of that update is in place."""
    moved = os.replace

    def replace(source: Path, target: Path) -> None:
        moved(source, target)
        if Path(target).name == f"state-{update}":
            print("the state is in place", flush=True)
            time.sleep(600)

    os.replace = replace  # type: ignore[assignment]


def argument(compute: Compute) -> str:
    """How the settings are given on the command line of this file."""
    return json.dumps(asdict(compute))


# the processes that this one starts run the file by the second name
if __name__ in {"__main__", "__mp_main__"}:
    torch.set_num_threads(1)
    _stop_after(4)
if __name__ == "__main__":
    stage(Path(sys.argv[1]), Path(sys.argv[2]), Compute(**json.loads(sys.argv[3])))
