# SPDX-License-Identifier: MIT
"""One run of turn-level PPO: prompts, verdicts, rewards and feedback of the task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from derotate import tasks
from derotate.stages.data import read_problems
from derotate.training import ppo, sampler
from derotate.training.fsdp import ONE_PROCESS, Compute
from derotate.training.launch import launch
from derotate.training.resume import Kept

if TYPE_CHECKING:
    from derotate.config.rl import Ppo


def train(
    task: str,
    *,
    style: str,
    start: Path,
    problems: Path,
    settings: Ppo,
    max_new_tokens: int,
    seed: int,
    directories: Mapping[int, Path],
    log: Path,
    compute: Compute = ONE_PROCESS,
    origin: str = "",
) -> None:
    """PPO from a checkpoint on the problems of a file.

    Args:
        task: name of the task.
        style: of the prompts.
        start: checkpoint to start from.
        problems: the `rl` fold's problems; updates draw from them.
        settings: of PPO.
        max_new_tokens: length limit of a response.
        seed: of the draws.
        directories: update -> checkpoint to leave.
        log: table by update; `advantages.csv` comes beside it.
        compute: processes, micro-batches, precision; with `save_state_every`, what a call that was
            killed has kept is gone on from.
        origin: digest of settings and code; nothing that was kept under another is gone on from.

    Raises:
        LaunchError: one of several processes failed.
        SamplerError: vLLM is to sample, and there is no GPU.
    """
    if settings.rollouts == "vllm":
        sampler.require_gpu("rl.ppo.rollouts")
    kept = Kept.beside(log, compute, origin=origin, read=(start / "model.safetensors", problems))
    launch(
        _train,
        processes=compute.processes,
        beside=log,
        arguments={
            "task": task,
            "style": style,
            "start": start,
            "problems": problems,
            "settings": settings,
            "max_new_tokens": max_new_tokens,
            "seed": seed,
            "directories": kept.checkpoints(directories) if kept else dict(directories),
            "log": log,
            "compute": compute,
            "kept": kept,
        },
    )
    if kept:
        kept.deliver(directories)


def _train(
    *,
    task: str,
    style: str,
    start: Path,
    problems: Path,
    settings: Ppo,
    max_new_tokens: int,
    seed: int,
    directories: Mapping[int, Path],
    log: Path,
    compute: Compute,
    kept: Kept | None,
) -> None:
    """What each process does."""
    known = read_problems(task, problems)
    prompts, rewards = tasks.load(task).prompts, tasks.load(task).rewards
    answers, verifier = tasks.load(task).answers, tasks.load(task).feedback

    def judge(index: int, response: str) -> tuple[float, bool, str]:
        verdict = answers.grade(known[index], response, style)
        feedback = "" if verdict.correct else verifier.feedback(known[index], verdict, style)
        return rewards.reward(known[index], response, style), verdict.correct, feedback

    ppo.train(
        start=start,
        checkpoints=directories,
        log=log,
        prompts=[prompts.prompt(problem, style) for problem in known],
        judge=judge,
        settings=settings,
        max_new_tokens=max_new_tokens,
        seed=seed,
        correct_reward=rewards.REWARDS["correct"],
        compute=compute,
        kept=kept,
    )
