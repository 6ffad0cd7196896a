# SPDX-License-Identifier: MIT
"""Resources of each stage of a study: the formulas with the numbers of the config.

Rules call this while Snakemake plans, so nothing imports torch. Only the headers of a pretrained
model are read.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from derotate import tasks
from derotate.config.model import PretrainedModel
from derotate.config.rl import RlSettings
from derotate.resources.formulas import (
    CPU_RATE,
    FLOAT32,
    FLOAT64,
    FORWARD_FLOP,
    GPU_DECODING_RATE,
    GPU_RATE,
    MB,
    TORCH_MB,
    Devices,
    Need,
    Size,
    decoding,
    decomposition,
    training,
)
from derotate.resources.model_size import SizeError, size_of

if TYPE_CHECKING:
    from derotate.config.model import TinyModel
    from derotate.config.schema import Config
    from derotate.tasks.task_defaults import Defaults

NATURAL_LENGTH: Final = 1024
"""Tokens of prompt and response in the natural style, at most, whatever the task."""
DOWNLOAD_RATE: Final = 2e7
"""Bytes a second of a slow line, by which it is also written and hashed."""
FETCHED_AT_ONCE: Final = 2_000
"""MB of mapped files that count for a job: one tensor at a time, an embedding of a gigabyte."""
PANDAS_MB: Final = 150
"""A process that has imported pandas: 139 MB."""
FIGURES_MB: Final = 400
"""A process that draws every figure: 264 MB."""
VLLM_MB: Final = 1_500
"""An engine of vLLM in the process: evaluations of the smoke study took 1,920 instead of 582 MB."""
EVALUATION_MB: Final = 6
"""The rows of one evaluation in a table of all: 1,198 MB for some 175 in the demo with six runs."""


def _of_task(config: Config) -> Defaults:
    """The task's defaults: sizes of its vocabulary, problems and suites."""
    return tasks.defaults(config.task)


def model_size(config: Config) -> Size:
    """Size of the study's model.

    Raises:
        SizeError: the size of a pretrained model is unknown.
    """
    if isinstance(config.model, PretrainedModel):
        return size_of(config.model)
    return tiny_size(config.model, _of_task(config).vocabulary)


def require_size(config: Config) -> None:
    """Refuse a model of unknown size, and recipes for layers that it does not have.

    Raises:
        SizeError: one line with the key.
    """
    layers = model_size(config).layers
    for recipe in config.surgery.recipes:
        outside = [layer for layer in recipe.layers or () if layer >= layers]
        if outside:
            raise SizeError(
                f"surgery.recipes[{recipe.name}].layers: got {outside}, expected layers below "
                f"{layers}, which the model has; correct it in the config file"
            )


def fetching(config: Config) -> Need:
    """Fetching of a pretrained model: download, read, write as one file, read back and hash."""
    size = model_size(config)
    weights = size.bytes_each * size.parameters
    return Need(
        memory=TORCH_MB * MB + FETCHED_AT_ONCE * MB,
        seconds=weights / DOWNLOAD_RATE,
        disk=10 * MB + 2 * weights,
    )


def length(config: Config) -> int:
    """Maximum number of tokens of prompt and response."""
    return _of_task(config).length if config.style == "compact" else NATURAL_LENGTH


def tiny_size(model: TinyModel, vocabulary: int) -> Size:
    """Size of a Llama with an untied head and no grouped-query attention (`models.tiny`)."""
    width, inner = model.hidden_size, model.intermediate_size
    layer = 4 * width**2 + 3 * width * inner + 2 * width
    return Size(
        parameters=model.layers * layer + 2 * vocabulary * width + width,
        width=width,
        layers=model.layers,
    )


def pretraining(config: Config, *, gpu: bool) -> Need:
    """Pretraining of the tiny base; a base of the phase diagram may take more steps."""
    batch = config.base.batch_size * length(config)
    steps = max((config.base.steps, *config.phase.base_steps))
    return training(
        model_size(config), tokens_at_once=batch, tokens=batch * steps,
        devices=Devices(config.base.threads, gpu), checkpoints=1,
    )  # fmt: skip


def sft(config: Config, steps: tuple[int, ...], *, after: int = 0, gpu: bool) -> Need:
    """An SFT run that resumes after a step and saves a checkpoint at each of `steps`."""
    settings, compute = config.sft, config.sft.compute
    share = compute.micro_batch or settings.batch_size // compute.processes
    tokens = settings.batch_size * length(config) * max(max(steps, default=after) - after, 0)
    return training(
        model_size(config), tokens_at_once=share * compute.processes * length(config),
        tokens=tokens, devices=Devices(settings.threads, gpu, compute.processes),
        checkpoints=len(steps), recomputes=compute.gradient_checkpointing,
    )  # fmt: skip


def rl(config: Config, block: str, *, gpu: bool) -> Need:
    """An RL run with a block of settings: the start checkpoint and the model in memory.

    A pass has one micro-batch; without that setting, all responses of an update.
    """
    size = model_size(config)
    settings: RlSettings = getattr(config.rl, block)
    responses, epochs = settings.responses_per_update, settings.epochs_per_update
    compute = settings.compute
    share = compute.micro_batch or responses / compute.processes
    tokens = responses * length(config) * settings.updates
    trained = training(
        size, tokens_at_once=round(share * compute.processes * length(config)),
        tokens=tokens * epochs, devices=Devices(settings.threads, gpu, compute.processes),
        checkpoints=1, recomputes=compute.gradient_checkpointing,
    )  # fmt: skip
    # each response is generated, then scored by the model and by its start
    forward = FORWARD_FLOP * size.parameters * tokens / compute.processes
    generating = GPU_DECODING_RATE if gpu else CPU_RATE * settings.threads
    scoring = GPU_RATE if gpu else CPU_RATE * settings.threads
    engines = compute.processes if settings.rollouts == "vllm" else 0
    return Need(
        memory=trained.memory + size.bytes_each * size.parameters + engines * VLLM_MB * MB,
        seconds=trained.seconds + forward / generating + 2 * forward / scoring,
        disk=trained.disk,
    )


def evaluation(config: Config, *, gpu: bool = False) -> Need:
    """Evaluation of one checkpoint on all suites."""
    settings, counts = config.evaluation, _of_task(config).problems
    problems = {
        (suite.split, suite.fold): min(
            suite.limit or sys.maxsize, counts[suite.split].get(suite.fold, 0) * suite.orders
        )
        for suite in settings.suites
    }
    repeated = sum(problems[suite] for suite in settings.sampled)
    answers = sum(problems.values()) + repeated * (settings.samples + settings.attempts)
    written = min(settings.max_new_tokens, length(config))
    scored = decoding(
        model_size(config), tokens_at_once=settings.batch_size * length(config),
        read=answers * (length(config) - written), written=answers * written,
        threads=settings.threads, models=1, gpu=gpu,
    )  # fmt: skip
    beside = VLLM_MB * MB if settings.engine == "vllm" else 0
    return replace(scored, memory=scored.memory + beside)


def surgery(config: Config, *, gpu: bool = False) -> Need:
    """A surgery variant: evaluation of the patient, edited one matrix at a time.

    The search for an interpolation of equal ID loss scores some ten candidates on one suite, which
    counts as three evaluations more.
    """
    scored = evaluation(config, gpu=gpu)
    edited = factors(config, checkpoints=2)
    return Need(memory=scored.memory + edited.memory, seconds=4 * scored.seconds + edited.seconds)


def factors(config: Config, *, checkpoints: int) -> Need:
    """Decompositions, or a comparison of checkpoints that are already decomposed."""
    return decomposition(
        model_size(config), checkpoints=checkpoints, threads=config.surgery.threads,
        bytes_each=FLOAT64 if config.surgery.precision == "float64" else FLOAT32,
    )  # fmt: skip


def states(config: Config, *, gpu: bool = False) -> Need:
    """Hidden states and next-token distributions of four checkpoints."""
    settings = config.diagnostics
    return decoding(
        model_size(config), tokens_at_once=config.evaluation.batch_size * length(config),
        read=4 * len(config.evaluation.suites) * settings.prompts * length(config), written=0,
        threads=settings.threads, models=4, gpu=gpu,
    )  # fmt: skip


def small_job() -> Need:
    """Jobs for problems, samples and landmarks, which take seconds."""
    return Need(memory=PANDAS_MB * MB)


def aggregate(evaluations: int) -> Need:
    """Tables and figures from a number of evaluations.

    Args:
        evaluations: number of evaluations read; 0 for figures, which read tables.
    """
    return Need(memory=(FIGURES_MB + EVALUATION_MB * evaluations) * MB)
