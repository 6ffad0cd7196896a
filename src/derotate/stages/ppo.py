# SPDX-License-Identifier: MIT
"""One run of turn-level PPO: prompts, verdicts, rewards and feedback of the task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from derotate import tasks
from derotate.stages.data import read_problems
from derotate.training import ppo

if TYPE_CHECKING:
    from derotate.settings import Ppo


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
) -> None:
    """PPO from a checkpoint on the problems of a file; arguments as for GRPO."""
    known = read_problems(task, problems)
    prompts, rewards = tasks.module(task, "prompts"), tasks.module(task, "rewards")
    answers, verifier = tasks.module(task, "answers"), tasks.module(task, "feedback")

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
    )
