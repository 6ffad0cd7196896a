# SPDX-License-Identifier: MIT
"""What work a job is, by the name of its benchmark: its kind, its amount, its threads.

A job is named as its benchmark file is, `sft/to-600` or `evaluation/sft-20`, so one function serves
planned cells and measured ones. Amounts compare jobs of one kind, also of different studies; what
their unit is takes no part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from derotate import tasks
from derotate.config.evaluation import Suite
from derotate.config.model import PretrainedModel
from derotate.config.rl import Grpo, Ppo
from derotate.config.schema import Config
from derotate.config.training import Sft
from derotate.resources.stages import model_size
from derotate.stages.data import EVALUATION_SEED
from derotate.study.arms import ARMS, arm_steps
from derotate.study.rl_algorithms import RL_ALGORITHMS


@dataclass(frozen=True)
class Work:
    """One job.

    Attributes:
        kind: jobs of a kind take time in proportion to their amount, beside the time to start.
        amount: how much work it is, more than 0.
        threads: cores that it holds.
        gpus: that it holds where there are any: one for each process that computes with torch.
        per_run: whether the amount is that of one run, and all runs of the study add to it.
    """

    kind: str
    amount: float
    threads: int = 1
    gpus: int = 1
    per_run: bool = False


_TABLE_JOBS = frozenset({"accuracy_by_step", "tables", "figures", "claims", "phase"})
"""Aggregates, which read what all runs made."""


def work_of(config: Config, name: str) -> Work | None:
    """The work of the job whose benchmark is `name` (stage/rest); None for a job it has not.

    A step that is not in the config, or a file of a later version, is no job that it has.
    """
    for pattern, work in _PATTERNS:
        found = re.fullmatch(pattern, name)
        if found:
            return work(config, *found.groups())
    return None


def _parameters(config: Config) -> int:
    """Of the model, in whose number training and generating are about linear."""
    return model_size(config).parameters


def answers(config: Config, *, sampled: bool = True) -> int:
    """Responses of one evaluation: greedy ones, and those of pass@k and further attempts."""
    counts = problem_counts(config.task, config.evaluation.suites)
    settings = config.evaluation
    more = (settings.samples + settings.attempts) if sampled else 0
    extra = more * sum(
        count
        for suite, count in zip(settings.suites, counts, strict=True)
        if (suite.split, suite.fold) in settings.sampled
    )
    return sum(counts) + extra


@cache
def problem_counts(task: str, suites: tuple[Suite, ...]) -> tuple[int, ...]:
    """Problems of each suite, dealt as `stages.data.write_problems` deals them."""
    generate = tasks.load(task).problems.generate
    counts = []
    for suite in suites:
        dealt = generate(suite.split, suite.orders, EVALUATION_SEED)
        held = sum(problem.fold == suite.fold for problem in dealt)
        counts.append(held if suite.limit is None else min(held, suite.limit))
    return tuple(counts)


def _base(config: Config, steps: str | None) -> Work:
    settings = config.base
    amount = (int(steps) if steps else settings.steps) * settings.batch_size * _parameters(config)
    return Work("base", amount, settings.threads)


def _segment(config: Config, last: str) -> Work | None:
    ends = (0, *(segment[-1] for segment in config.sft.segments))
    if int(last) not in ends[1:]:
        return None
    return _sft(config, int(last) - ends[ends.index(int(last)) - 1])


def _sft(config: Config, steps: int) -> Work:
    return _shared("sft", steps * config.sft.batch_size, config, config.sft)


def _arm(config: Config, arm: str) -> Work | None:
    steps = arm_steps(config).get(arm)
    return _sft(config, max(steps)) if steps else None


def _phase_sft(config: Config) -> Work | None:
    return _sft(config, max(config.phase.steps)) if config.phase.steps else None


def _rl(config: Config, algorithm: str) -> Work:
    if RL_ALGORITHMS[algorithm].settings == "ppo":
        ppo = config.rl.ppo
        return _shared("ppo", ppo.updates * ppo.prompts * ppo.attempts, config, ppo)
    grpo = config.rl.grpo
    return _shared("grpo", grpo.updates * grpo.prompts * grpo.group_size, config, grpo)


def _shared(kind: str, samples: int, config: Config, settings: Sft | Grpo | Ppo) -> Work:
    """Work that processes share: each has its part of the samples, its threads and its GPU."""
    processes = settings.compute.processes
    return Work(
        kind,
        samples * _parameters(config) / processes,
        threads=settings.threads * processes,
        gpus=processes,
    )


def _evaluation(config: Config, *, kind: str, sampled: bool = True) -> Work:
    threads = config.surgery.threads if kind == "surgery" else config.evaluation.threads
    return Work(kind, answers(config, sampled=sampled) * _parameters(config), threads)


def _decomposition(config: Config, kind: str) -> Work:
    """Factors, spectra and weights: of each matrix, rows times columns times rank."""
    model = config.model
    if isinstance(model, PretrainedModel):
        rank = model_size(config).width
    else:
        rank = min(model.hidden_size, model.intermediate_size)
    amount = _parameters(config) * rank
    threads = config.diagnostics.threads if kind == "weights" else config.surgery.threads
    return Work(kind, amount, threads)


def _states(config: Config) -> Work | None:
    suites = sum(suite.fold == "test" for suite in config.evaluation.suites)
    amount = suites * config.diagnostics.prompts * _parameters(config)
    return Work("states", amount, config.diagnostics.threads) if amount else None


def _samples(config: Config, arm: str, after: str, last: str) -> Work:
    amount = (int(last) - int(after)) * config.sft.batch_size
    return Work(f"{arm}samples", amount, gpus=0)


def _rest(_: Config, name: str) -> Work:
    return Work(name, 1, gpus=0, per_run=name in _TABLE_JOBS)


# The first that fits. The groups of a pattern are the arguments behind the config.
_PATTERNS: tuple[tuple[str, Callable[..., Work | None]], ...] = (
    (r"base/(?:base|phase-(\d+))", _base),
    (r"sft/to-(\d+)", _segment),
    (rf"sft/({'|'.join(ARMS)})", _arm),
    (r"sft/phase-.+", _phase_sft),
    (rf"rl/({'|'.join(RL_ALGORITHMS)})-from-\d+", _rl),
    (r"evaluation/from-.+/.+", partial(_evaluation, kind="surgery")),
    (r"evaluation/phase-.+", partial(_evaluation, kind="evaluation", sampled=False)),
    (r"evaluation/.+", partial(_evaluation, kind="evaluation")),
    (r"surgery/(factors|spectra|weights)-.+", _decomposition),
    (r"surgery/states-.+", _states),
    (rf"rest/(|(?:{'|'.join(ARMS)})-)samples-(\d+)-(\d+)", _samples),
    (r"rest/([a-z_-]+)", _rest),
)
