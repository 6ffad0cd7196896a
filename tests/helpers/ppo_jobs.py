# SPDX-License-Identifier: MIT
"""PPO of tiny models that tests run in several processes, or in one that they kill."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import model_zoo
import torch
from environments import ToyEnvironment
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from training_jobs import MODELS, ONE_PROCESS, looks_trained, stop_after

from derotate.config.rl import Ppo
from derotate.config.training import Compute
from derotate.models import checkpoint as checkpoints
from derotate.models.chat import pad_id
from derotate.models.mllama import freeze_image_parameters
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.data import write_rl_problems
from derotate.stages.rl import TaskEnvironment, train
from derotate.tasks.general_points.pretraining import WORDS as TASK_WORDS
from derotate.training import collectives, ppo, rl_log
from derotate.training.full_weights import FullWeights
from derotate.training.multi_turn import Attempt
from derotate.training.ppo_policy import ActorCritic
from derotate.training.resume import ResumeFolder
from derotate.training.rl_job import RlJob
from derotate.training.rollout import MICRO_BATCH_SIZE, collate

WORDS: Final = ("a", "b", "c", "d", "hint")
EPISODES: Final = 8
SETTINGS: Final = Ppo(
    temperature=0.8, learning_rate=1e-3, epochs=2, minibatches=3, prompts=EPISODES, attempts=3
)
TASK: Final = "general_points"
SHORT: Final = Ppo(
    temperature=1.0, learning_rate=1e-3, epochs=2, minibatches=2, updates=5, prompts=5, attempts=2
)
UPDATE: Final = rl_log.Update(
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
    """Two updates of a tiny model on fixed attempts, the second from a saved state if `resumed`."""

    compute: Compute = ONE_PROCESS
    model: str = "qwen2"
    minibatches: int = SETTINGS.minibatches
    max_grad_norm: float = SETTINGS.max_grad_norm
    resumed: bool = False


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


def run_updates(jobs: Mapping[str, Job], folder: Path) -> None:
    """Make the optimizer steps of each job, and write losses and weights; run in each process."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        settings = SETTINGS.model_copy(
            update={
                "minibatches": job.minibatches,
                "max_grad_norm": job.max_grad_norm,
                "compute": job.compute,
            }
        )
        device = collectives.init_distributed(job.compute.processes)
        model = looks_trained(job.model)
        full_weights = FullWeights(type(model), sharded=job.compute.sharded)
        freeze_image_parameters(model)
        learner = ActorCritic.create(model, settings, 3, device)
        size = job.compute.micro_batch or MICRO_BATCH_SIZE
        played = attempts()
        batch = collate(
            [attempt.context for attempt in played],
            [attempt.response for attempt in played],
            pad_id(tiny_tokenizer(WORDS)),
            device,
        )
        scores = learner.policy.score_all(batch, settings.temperature, size)
        rollout = ppo.make_rollout(played, batch, scores, learner.value_head, settings)
        losses = []
        for update in range(2):
            generator = torch.Generator().manual_seed(update)
            losses.append(
                ppo.optimise(learner, rollout, settings, generator=generator, micro_batch_size=size)
            )
            if job.resumed and not update:
                learner = _saved_and_loaded(learner, folder / f"{name}.resume", job, settings)
        parameters = learner.trained_parameters
        norm: Any = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        stored = [*parameters, *learner.policy.parameters(), *learner.value_head.parameters()]
        stored += [value for state in learner.optimizer.state.values() for value in state.values()]
        model = full_weights.gather(learner.policy.model)
        options = StateDictOptions(full_state_dict=True)
        value_head = get_model_state_dict(learner.value_head, options=options)
        if collectives.is_main_process():
            checkpoints.save(model, tiny_tokenizer(WORDS), folder / name)
            torch.save(value_head, folder / name / "value_head.pt")
            report = {
                "losses": losses,
                "gradient_norm": norm.item(),
                "stored_elements": sum(_local(tensor).numel() for tensor in stored),
                "advantages": rollout.advantages.tolist(),
                "log_probs": rollout.log_probs.tolist(),
                "values": rollout.values.tolist(),
            }
            (folder / name / "report.json").write_text(json.dumps(report))


def _local(tensor: Any) -> Any:
    """This process's shard of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _saved_and_loaded(learner: ActorCritic, folder: Path, job: Job, settings: Ppo) -> ActorCritic:
    """A new policy, value head and optimizer with the state of the first, by way of the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_state(ResumeFolder(folder), [UPDATE])
    model = looks_trained(job.model)
    freeze_image_parameters(model)
    other = ActorCritic.create(model, settings, 4, learner.policy.device)
    assert other.load_latest_state(ResumeFolder(folder)) == [UPDATE]
    return other


def prepare(folder: Path, model: str, dtype: torch.dtype) -> None:
    """Write the checkpoint that `run` starts from."""
    _write_start(folder, tiny_tokenizer(WORDS), model, dtype)


def run(folder: Path, out: Path, settings: Ppo) -> None:
    """A complete run with an intermediate checkpoint; each process writes what it rewarded.

    Both problems have the same prompt. The first is solved by any response, the second by none.
    """
    torch.set_num_threads(1)
    rewarded: list[tuple[str, float]] = []

    def reward(problem: int, response: str) -> float:
        rewarded.append((response, 5.0 if problem == 0 else float(len(response) % 3)))
        return rewarded[-1][1]

    def feedback(problem: int, response: str) -> str | None:
        return None if problem == 0 else "hint a"

    ppo.train(
        RlJob(
            environment=ToyEnvironment(("a b", "a b"), reward, feedback),
            start=folder / "start",
            checkpoints={update: out / f"step-{update}" for update in {2, settings.updates}},
            log=out / "log.csv",
            settings=settings,
            max_new_tokens=4,
            seed=3,
        )
    )
    (out / f"rewarded-{collectives.rank()}.json").write_text(json.dumps(rewarded))


def prepare_stage(folder: Path) -> None:
    """Write what `stage` reads."""
    _write_start(folder, tiny_tokenizer(TASK_WORDS), "qwen2", torch.float32)
    write_rl_problems(TASK, seed=1, count=20, out=folder / "problems.csv")


def stage(folder: Path, out: Path, compute: Compute, origin: str = "") -> None:
    """The stage, with an intermediate checkpoint."""
    train(
        "ppo",
        RlJob(
            environment=TaskEnvironment(TASK, "compact", folder / "problems.csv"),
            start=folder / "start",
            checkpoints={update: out / f"step-{update}" for update in (3, SHORT.updates)},
            log=out / "log.csv",
            settings=SHORT.model_copy(update={"compute": compute}),
            max_new_tokens=8,
            seed=3,
        ),
        origin=origin,
    )


def _write_start(folder: Path, tokenizer: Any, name: str, dtype: torch.dtype) -> None:
    """A model that looks trained and says nothing but the words of the tokenizer."""
    model = MODELS[name](vocabulary=len(tokenizer))
    model_zoo.power_law(model, seed=1)
    checkpoints.save(model.to(dtype), tokenizer, folder / "start")


# processes that this one starts import the file under the second name
if __name__ in {"__main__", "__mp_main__"}:
    torch.set_num_threads(1)
    stop_after(4)
if __name__ == "__main__":
    stage(Path(sys.argv[1]), Path(sys.argv[2]), Compute.model_validate_json(sys.argv[3]))
