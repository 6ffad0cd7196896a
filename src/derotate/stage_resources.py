# SPDX-License-Identifier: MIT
"""What each stage of a study needs, by its config: `derotate.resources` with numbers filled in.

Rules ask here when Snakemake plans, so nothing imports torch or reads files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from derotate.resources import (
    CPU_RATE,
    FORWARD_FLOP,
    GPU_RATE,
    MB,
    Need,
    Size,
    decoding,
    decomposition,
    training,
)

if TYPE_CHECKING:
    from derotate.config import Config
    from derotate.settings import TinyModel

LENGTH: Final = {"compact": 64, "natural": 512}
"""Tokens of prompt and response, at most, by the config's style."""
VOCABULARY: Final = 62
"""Tokens of the tiny model: the words of general_points and the four special ones."""
MOST_PROBLEMS: Final = 1362
"""Number sets of a suite without a limit, at most: all that can occur, each dealt once."""

PANDAS_MB: Final = 150
"""A process that has imported pandas: 139 MB."""
FIGURES_MB: Final = 400
"""A process that draws every figure: 264 MB."""
EVALUATION_MB: Final = 6
"""The rows of one evaluation in a table of all: 1,198 MB for some 175 in the demo with six runs."""


def tiny_size(model: TinyModel) -> Size:
    """Size of a Llama with an untied head and without grouped keys, as in `derotate.models`."""
    width, inner = model.hidden_size, model.intermediate_size
    layer = 4 * width**2 + 3 * width * inner + 2 * width
    return Size(
        parameters=model.layers * layer + 2 * VOCABULARY * width + width,
        width=width,
        layers=model.layers,
    )


def pretraining(config: Config, *, gpu: bool) -> Need:
    """Of the tiny base; a base of the phase diagram may be trained for longer."""
    batch = config.base.batch_size * LENGTH[config.style]
    steps = max((config.base.steps, *config.phase.base_steps))
    return training(
        tiny_size(config.model), tokens_at_once=batch, tokens=batch * steps,
        threads=config.base.threads, checkpoints=1, gpu=gpu,
    )  # fmt: skip


def sft(config: Config, steps: tuple[int, ...], *, after: int = 0, gpu: bool) -> Need:
    """Of an SFT run that goes on after a step and leaves a checkpoint at each of `steps`."""
    batch = config.sft.batch_size * LENGTH[config.style]
    return training(
        tiny_size(config.model), tokens_at_once=batch, threads=config.sft.threads,
        tokens=batch * max(max(steps, default=after) - after, 0), checkpoints=len(steps), gpu=gpu,
    )  # fmt: skip


def rl(config: Config, algorithm: str, *, gpu: bool) -> Need:
    """Of an RL run: all responses of an update at once, the start checkpoint beside the model."""
    size = tiny_size(config.model)
    if algorithm == "ppo":
        ppo = config.rl.ppo
        responses, epochs = ppo.prompts * ppo.attempts, ppo.epochs
        updates, threads = ppo.updates, ppo.threads
    else:
        grpo = config.rl.grpo
        responses, epochs = grpo.prompts * grpo.group_size, 1
        updates, threads = grpo.updates, grpo.threads
    at_once = responses * LENGTH[config.style]
    trained = training(
        size, tokens_at_once=at_once, tokens=at_once * updates * epochs, threads=threads,
        checkpoints=1, gpu=gpu,
    )  # fmt: skip
    # each response is generated, then scored by the model and by its start
    forward = 3 * FORWARD_FLOP * size.parameters * at_once * updates
    return Need(
        memory=trained.memory + size.bytes_each * size.parameters,
        seconds=trained.seconds + forward / (GPU_RATE if gpu else CPU_RATE * threads),
        disk=trained.disk,
    )


def evaluation(config: Config, *, models: int = 1) -> Need:
    """Of one checkpoint on all suites; surgery holds donor and patient too."""
    settings = config.evaluation
    problems = {
        (suite.split, suite.fold): suite.limit or MOST_PROBLEMS * suite.orders
        for suite in settings.suites
    }
    repeated = sum(problems[suite] for suite in settings.sampled)
    answers = sum(problems.values()) + repeated * (settings.samples + settings.attempts)
    length = LENGTH[config.style]
    return decoding(
        tiny_size(config.model), tokens_at_once=settings.batch_size * length,
        tokens=answers * length, threads=settings.threads, models=models,
    )  # fmt: skip


def surgery(config: Config) -> Need:
    """Of a variant: an evaluation with donor, patient and their factors in memory.

    The search for an interpolation of equal ID loss scores some ten candidates on one suite, which
    counts as three evaluations more.
    """
    scored = evaluation(config, models=3)
    held = factors(config, checkpoints=2)
    return Need(memory=scored.memory + held.memory, seconds=4 * scored.seconds + held.seconds)


def factors(config: Config, *, checkpoints: int) -> Need:
    """Of decompositions, or of a comparison of checkpoints that have theirs."""
    return decomposition(
        tiny_size(config.model), checkpoints=checkpoints, threads=config.surgery.threads
    )


def states(config: Config) -> Need:
    """Of hidden states and next-token distributions of four checkpoints."""
    settings = config.diagnostics
    length = LENGTH[config.style]
    return decoding(
        tiny_size(config.model), tokens_at_once=config.evaluation.batch_size * length,
        tokens=4 * len(config.evaluation.suites) * settings.prompts * length,
        threads=settings.threads, models=4,
    )  # fmt: skip


def sheet() -> Need:
    """Of problems, samples and landmarks: seconds."""
    return Need(memory=PANDAS_MB * MB)


def aggregate(evaluations: int) -> Need:
    """Of tables and figures over so many evaluations.

    Args:
        evaluations: how many are read; 0 for what is drawn from tables.
    """
    return Need(memory=(FIGURES_MB + EVALUATION_MB * evaluations) * MB)
