# SPDX-License-Identifier: MIT
"""Evaluation of a checkpoint on the study's problems."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derotate import tasks
from derotate.evaluation.evaluate import (
    Decoding,
    ExtraAttempts,
    Item,
    evaluate,
    reference_losses,
    write,
)
from derotate.models import checkpoint as checkpoints
from derotate.models.device import fastest
from derotate.stages.data import read_problems

if TYPE_CHECKING:
    from derotate.config.evaluation import Evaluation


@dataclass(frozen=True)
class EvaluationJob:
    """One evaluation: a checkpoint, its problems, and the files of the rows.

    Attributes:
        task: name of the task.
        style: of the prompts.
        checkpoint: model directory.
        problems: CSV of the problems.
        settings: the config's `evaluation`.
        seed: of the samples.
        parquet: the rows.
        csv: the same rows.
    """

    task: str
    style: str
    checkpoint: Path
    problems: Path
    settings: Evaluation
    seed: int
    parquet: Path
    csv: Path

    def items(self) -> list[Item]:
        """The problems with their prompts, reference answers, graders and verifiers."""
        return items(self.task, self.style, self.problems)


def items(task: str, style: str, problems: Path) -> list[Item]:
    """The problems of a CSV with their prompts, reference answers, graders and verifiers."""
    parts = tasks.load(task)
    prompts, answers, verifier = parts.prompts, parts.answers, parts.feedback

    def item(problem: Any) -> Item:
        def grade(response: str) -> tuple[bool, str]:
            verdict = answers.grade(problem, response, style)
            return verdict.correct, str(verdict.kind)

        def feedback(response: str) -> str:
            return verifier.feedback(problem, answers.grade(problem, response, style), style)

        return Item(
            problem=problem.name,
            split=problem.split,
            fold=problem.fold,
            cluster=problem.cluster,
            prompt=prompts.prompt(problem, style),
            reference=prompts.response(problem, style),
            grade=grade,
            feedback=feedback,
        )

    return [item(problem) for problem in read_problems(task, problems)]


def evaluate_model(model: Any, tokenizer: Any, items: list[Item], job: EvaluationJob) -> None:
    """Evaluate a loaded model, which need not equal the job's checkpoint, and write the rows."""
    settings = job.settings
    # Losses first: an engine may take the model's place on the GPU.
    losses = reference_losses(model, tokenizer, items)
    # Imported by name, so that a rule's code digest holds only the engine that it uses.
    engine = import_module(f"derotate.evaluation.engines.{settings.engine}")
    extra = ExtraAttempts(
        suites=frozenset(settings.sampled),
        samples=settings.samples,
        temperature=settings.temperature,
        attempts=settings.attempts,
        seed=job.seed,
    )
    greedy = Decoding(settings.max_new_tokens, settings.batch_size)
    with engine.responding(model, tokenizer) as responder:
        rows = evaluate(responder, items, losses, greedy, extra)
    write(rows, job.parquet, job.csv)


def evaluate_checkpoint(job: EvaluationJob) -> None:
    """Evaluate a checkpoint on the problems of a file and write the rows."""
    model, tokenizer = checkpoints.load(job.checkpoint, device=fastest())
    evaluate_model(model, tokenizer, job.items(), job)
