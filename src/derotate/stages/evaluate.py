# SPDX-License-Identifier: MIT
"""Evaluation of a checkpoint on the study's problems."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derotate import tasks
from derotate.evaluation.evaluate import Decoding, Item, evaluate, reference_losses, write
from derotate.models import checkpoint as checkpoints
from derotate.models.device import fastest
from derotate.stages.data import read_problems

if TYPE_CHECKING:
    from derotate.config.evaluation import Evaluation


def items(task: str, style: str, problems: Path) -> list[Item]:
    """The problems as evaluation wants them: prompt, reference answer, grader, verifier."""
    prompts, answers = tasks.load(task).prompts, tasks.load(task).answers
    verifier = tasks.load(task).feedback

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


def evaluate_model(
    model: Any,
    tokenizer: Any,
    known: list[Item],
    settings: Evaluation,
    seed: int,
    parquet: Path,
    csv: Path,
) -> None:
    """Score a model that is in memory and write its rows.

    Losses come first: an engine may take the model's place on the GPU.
    """
    losses = reference_losses(model, tokenizer, known)
    # by name, so that rules carry the digest of the engine they use and of no other
    engine = import_module(f"derotate.evaluation.engines.{settings.engine}")
    with engine.responding(model, tokenizer) as responder:
        rows = evaluate(
            responder,
            known,
            losses,
            greedy=Decoding(settings.max_new_tokens, settings.batch_size),
            samples=settings.samples,
            sampled=frozenset(settings.sampled),
            temperature=settings.temperature,
            attempts=settings.attempts,
            seed=seed,
        )
    write(rows, parquet, csv)


def evaluate_checkpoint(
    task: str,
    *,
    style: str,
    checkpoint: Path,
    problems: Path,
    settings: Evaluation,
    seed: int,
    parquet: Path,
    csv: Path,
) -> None:
    """Score a checkpoint on the problems of a file and write its rows."""
    model, tokenizer = checkpoints.load(checkpoint, device=fastest())
    evaluate_model(model, tokenizer, items(task, style, problems), settings, seed, parquet, csv)
