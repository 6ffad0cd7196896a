# SPDX-License-Identifier: MIT
"""Problems and training samples as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from derotate import tasks
from derotate.files.atomic import atomic_write_text

EVALUATION_SEED = 0
"""Seed of the evaluated problems: one for all runs, so that runs can be paired by problem."""


def write_problems(task: str, suites: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write the problems that every checkpoint is evaluated on, one row per problem.

    A suite with a limit takes the problems whose names have the smallest hashes. In their own order
    the first ones would be a biased sample.
    """
    generate = tasks.load(task).problems.generate
    rows = []
    for suite in suites:
        of_split = generate(suite["split"], suite["orders"], EVALUATION_SEED)
        chosen = [problem for problem in of_split if problem.fold == suite["fold"]]
        chosen.sort(key=lambda problem: sha256(problem.name.encode()).digest())
        chosen = sorted(chosen[: suite["limit"]], key=lambda problem: problem.name)
        rows += [problem.to_row() for problem in chosen]
    atomic_write_text(out, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def read_problems(task: str, path: Path) -> list[Any]:
    """The problems of a file of `write_problems` or `write_rl_problems`."""
    problem = tasks.load(task).problems.Problem
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    return [problem.from_row(row) for row in rows]


def write_sft_samples(
    task: str,
    *,
    style: str,
    seed: int,
    batch_size: int,
    steps: tuple[int, int],
    out: Path,
    stream: str | None = None,
) -> None:
    """Write prompt and response of each training sample, in the order of training.

    Args:
        task: the task.
        style: of prompts and responses, compact or natural.
        seed: of the run.
        batch_size: samples per step.
        steps: (after, last): the samples of the steps after + 1 to last.
        out: JSON lines with the keys `prompt` and `response`.
        stream: PART.FUNCTION of the task, see `derotate.study.arms.Arm`; by default that of SFT.

    Raises:
        ValueError: the task has no such stream.
    """
    parts = tasks.load(task)
    if stream is None:
        problems = parts.streams.id_stream("train", seed)
    else:
        name, _, function = stream.partition(".")
        part = getattr(parts, name)
        if part is None:
            raise ValueError(
                f"task: got {task}, expected one with the part {name}; leave the arm's steps empty"
            )
        problems = getattr(part, function)(seed)
    after, last = steps
    samples = (
        {
            "prompt": parts.prompts.prompt(problem, style),
            "response": parts.prompts.response(problem, style),
        }
        for problem in islice(problems, after * batch_size, last * batch_size)
    )
    atomic_write_text(out, "".join(f"{json.dumps(sample)}\n" for sample in samples))


def write_rl_problems(task: str, *, seed: int, count: int, out: Path) -> None:
    """Write the first `count` ID problems of the fold `rl`; RL updates sample from them."""
    stream = tasks.load(task).streams.id_stream("rl", seed)
    rows = [problem.to_row() for problem in islice(stream, count)]
    atomic_write_text(out, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def read_jsonl(path: Path) -> Iterable[dict[str, Any]]:
    """The lines of a JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
