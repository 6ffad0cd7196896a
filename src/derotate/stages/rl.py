# SPDX-License-Identifier: MIT
"""One RL run: the task as an environment, and the algorithm that trains on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from derotate import tasks
from derotate.models.chat import Prompt
from derotate.stages.data import read_problems
from derotate.training.launch import launch
from derotate.training.resume import ResumeFolder
from derotate.training.rl_job import RlJob


@dataclass(frozen=True)
class TaskEnvironment:
    """The problems of a file with the task's prompts, rewards and feedback.

    Each process reads the file itself, so that pickling an environment pickles no problem. Only PPO
    asks for feedback, so only its rule carries the digest of that code.

    Attributes:
        task: name of the task.
        style: of the prompts.
        file: problems of the `rl` fold.
    """

    task: str
    style: str
    file: Path

    @property
    def inputs(self) -> tuple[Path]:
        """The file of the problems."""
        return (self.file,)

    @cached_property
    def problems(self) -> list[Any]:
        """The problems in the order of the file."""
        return read_problems(self.task, self.file)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompt of each problem."""
        prompts = tasks.load(self.task).prompts
        return [prompts.prompt(problem, self.style) for problem in self.problems]

    @property
    def correct_reward(self) -> float:
        """The reward of a correct response."""
        return tasks.load(self.task).rewards.REWARDS["correct"]

    def reward(self, problem: int, response: str, /) -> float:
        """The task's reward of a response."""
        rewards = tasks.load(self.task).rewards
        return rewards.reward(self.problems[problem], response, self.style)

    def feedback(self, problem: int, response: str, /) -> str | None:
        """The verifier's message on a wrong response; None on a correct one."""
        task = tasks.load(self.task)
        verdict = task.answers.grade(self.problems[problem], response, self.style)
        if verdict.correct:
            return None
        return task.feedback.feedback(self.problems[problem], verdict, self.style)


def train(algorithm: str, job: RlJob[Any], *, origin: str = "") -> None:
    """Run RL from a checkpoint.

    Args:
        algorithm: module of `derotate.training` with a function `train(job)`. It is imported by
            name, so that the rule of each algorithm carries the digest of its own code only.
        job: the run.
        origin: digest of settings and code; a state saved under another is not resumed from.

    Raises:
        LaunchError: one of several processes failed.
        RolloutError: rollouts by vLLM without a GPU, or of a model that vLLM does not have.
    """
    if job.settings.rollouts == "vllm":
        from derotate.training.vllm_rollouts import require_gpu

        require_gpu(f"rl.{algorithm}.rollouts")
    inputs = (job.start / "model.safetensors", *job.environment.inputs)
    resume = ResumeFolder.beside(job.log, job.compute, origin=origin, inputs=inputs)
    launched = job
    if resume:
        launched = replace(job, checkpoints=resume.checkpoints(job.checkpoints), resume=resume)
    launch(
        _train,
        processes=job.compute.processes,
        log=job.log,
        arguments={"algorithm": algorithm, "job": launched},
    )
    if resume:
        resume.deliver(job.checkpoints)


def _train(algorithm: str, job: RlJob[Any]) -> None:
    """Run in each process."""
    import_module(f"derotate.training.{algorithm}").train(job)
