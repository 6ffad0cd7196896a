# SPDX-License-Identifier: MIT
"""The command `derotate grade`: grade one response to one problem of any task."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Annotated, Any

import typer

from derotate import tasks
from derotate.commands.errors import one_line
from derotate.tasks.options import STYLES

GENERAL_POINTS = "general_points"
"""The only task with `--rule` and `--target`."""


def grade(
    problem: Annotated[
        str,
        typer.Argument(
            help="Cards '3 3 8 K', a matrix '2 -1 / 3 4', or a step's name 'ood-n0001-4-3of7'."
        ),
    ],
    response: Annotated[
        str, typer.Argument(help="What the model wrote; '-' reads it from stdin.")
    ] = "-",
    task: Annotated[str, typer.Option(help=f"One of {', '.join(tasks.TASKS)}.")] = GENERAL_POINTS,
    style: Annotated[str, typer.Option(help="Response style: compact or natural.")] = "compact",
    rule: Annotated[
        str | None, typer.Option(help=f"{GENERAL_POINTS}: values of J, Q, K (default: 10,10,10).")
    ] = None,
    target: Annotated[
        int | None,
        typer.Option(help=f"{GENERAL_POINTS}: target value of the formula (default: 24)."),
    ] = None,
) -> None:
    """Grade one response to one problem: verdict, error kind and parsed answer."""
    with one_line(ValueError):
        if task not in tasks.TASKS:
            raise ValueError(f"--task: got {task!r}, expected one of {', '.join(tasks.TASKS)}")
        answers = tasks.load(task).answers
        if style not in STYLES:
            raise ValueError(f"--style: got {style!r}, expected one of {', '.join(STYLES)}")
        parsed_problem = tasks.load(task).by_hand.problem(problem, **_chosen(task, rule, target))
        text = sys.stdin.read() if response == "-" else response
        verdict = answers.grade(parsed_problem, text, style)
    typer.echo(f"verdict     {'correct' if verdict.correct else 'wrong'}")
    typer.echo(f"error kind  {'none' if verdict.correct else verdict.kind.value}")
    for field in fields(verdict):
        if field.name != "kind":
            typer.echo(f"{field.name:<11} {_shown(getattr(verdict, field.name))}")


def _chosen(task: str, rule: str | None, target: int | None) -> dict[str, Any]:
    """Arguments of `by_hand.problem` that the user set."""
    options: dict[str, Any] = {"rule": rule, "target": target}
    chosen = {key: value for key, value in options.items() if value is not None}
    if chosen and task != GENERAL_POINTS:
        raise ValueError(
            f"--{min(chosen)}: only for --task {GENERAL_POINTS}, got --task {task}; leave it out"
        )
    if rule is not None:
        chosen["rule"] = _rule(rule)
    return chosen


def _rule(text: str) -> tuple[int, int, int]:
    numbers = text.replace(",", " ").split()
    if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ValueError(f"--rule: got {text!r}, expected three numbers for J, Q, K, e.g. 11,12,13")
    jack, queen, king = map(int, numbers)
    return jack, queen, king


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
