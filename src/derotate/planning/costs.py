# SPDX-License-Identifier: MIT
"""The cost of a job: measured, scaled from a job of the same kind, or estimated.

Kind and amount of work follow from the script of the job's rule and from its params. The time of a
job is a constant start-up time plus a time proportional to its amount of work. Jobs of the same
kind and amount are expected to take the same time; differences between seeds are noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isclose
from pathlib import Path
from statistics import median
from typing import Any, Literal

from derotate import tasks
from derotate.config.evaluation import Suite
from derotate.config.model import PretrainedModel
from derotate.config.schema import Config
from derotate.resources.stages import model_size
from derotate.runs.benchmarks import benchmark_folders, read_costs
from derotate.runs.dry_run import Job
from derotate.runs.rule_jobs import job_of_benchmark, parse
from derotate.stages.data import EVALUATION_SEED
from derotate.study import paths as study
from derotate.study import record
from derotate.study.rl_algorithms import RL_ALGORITHMS

Device = Literal["core", "gpu"]
Source = Literal["measured", "scaled", "estimated"]

ESTIMATES: Mapping[str, tuple[float, float, float]] = {
    "base": (6, 207, 104_939_520_000),
    "sft": (8, 104, 20_987_904_000),
    "grpo": (8, 62, 6_296_371_200),
    "ppo": (8, 170, 6_296_371_200),
    "evaluate": (5, 16.5, 1_966_796_160),
    "surgery": (5, 14.5, 1_966_796_160),
    "factors": (2, 2.1, 104_939_520),
    "spectra": (2, 3.4, 104_939_520),
    "weights": (2, 3.8, 104_939_520),
    "states": (5, 12.7, 655_872_000),
    "sft_samples": (0.7, 1.2, 25_600),
    "streams.oracle_stream": (0.7, 19, 38_400),
    "diverse.diverse_stream": (0.7, 2.5, 38_400),
    "problems": (1, 1.2, 1),
    "data_card": (1, 1, 1),
    "landmarks": (0.6, 0.8, 1),
    "rl_problems": (0.6, 0.7, 1),
    "fetch": (10, 60, 1),
    "accuracy_by_step": (6, 7, 1),
    "tables": (6, 15, 1),
    "figures": (10, 12, 1),
    "claims": (5, 6, 1),
    "phase": (6, 8, 1),
}
"""By kind: seconds to start, seconds of a whole job, and its amount of work. Medians of an
undisturbed run of the demo on two cores of an Intel Xeon. PPO, the oracle's samples, states and
weights are of the reference study, scaled to the demo; varied samples are from their CPU time.
The time of a fetch depends on the connection: a minute is a guess. `--costs` gives a machine's own.
"""
_OTHER = (1.0, 1.0, 1)
"""The same for a kind without an entry; RL without one is estimated as GRPO."""
_RL_SETTINGS = {algorithm.settings for algorithm in RL_ALGORITHMS.values()}

_LONGEST_START = 0.8
"""Upper bound on the start-up time on a faster machine, as a share of the kind's shortest job."""


@dataclass(frozen=True)
class Work:
    """The work of one job.

    Attributes:
        kind: beyond the start-up time, jobs of one kind take time proportional to their amount.
        amount: amount of work, above 0, in a unit of the kind.
        threads: number of cores that the job holds.
        gpus: number of GPUs that it holds, if it runs on GPUs: one per process that uses torch.
        per_run: whether `amount` is that of one run and is multiplied by the number of runs.
    """

    kind: str
    amount: float
    threads: int = 1
    gpus: int = 1
    per_run: bool = False


def work_of_job(config: Config, job: Job) -> Work:
    """The work of a job of a study."""
    params, parameters = job.params, model_size(config).parameters

    def work(amount: float, kind: str = job.script, gpus: int = 1) -> Work:
        return Work(kind, amount, job.threads, gpus)

    match job.script:
        case "base":
            settings = params["settings"]
            return work(settings["steps"] * settings["batch_size"] * parameters)
        case "sft":
            optimisation = params["optimisation"]
            processes = optimisation["compute"]["processes"]
            samples = (params["steps"][-1] - params["after"]) * optimisation["batch_size"]
            return work(samples * parameters / processes, gpus=processes)
        case "rl":
            settings, block = params["settings"], RL_ALGORITHMS[params["algorithm"]].settings
            processes = settings["compute"]["processes"]
            responses = settings.get("group_size") or settings["attempts"]
            samples = settings["updates"] * settings["prompts"] * responses
            return work(samples * parameters / processes, kind=block, gpus=processes)
        case "evaluate" | "surgery":
            return work(answers(config, params["settings"]) * parameters)
        case "factors" | "spectra" | "weights":
            return work(parameters * _rank(config))
        case "states":
            suites = sum(suite.fold == "test" for suite in config.evaluation.suites)
            return work(suites * params["prompts"] * parameters)
        case "sft_samples":
            steps = int(job.wildcards["last"]) - int(job.wildcards["after"])
            kind = params["stream"] or job.script
            return work(steps * params["batch_size"], kind=kind, gpus=0)
        case kind:
            # jobs that aggregate all runs have their benchmark in the folder of the study
            from_all_runs = f"{study.Paths.of(config).study}/benchmarks/" in (job.benchmark or "")
            return Work(kind, 1, job.threads, gpus=0, per_run=from_all_runs)


@cache
def work_of(config: Config, name: str) -> Work | None:
    """The work of the job with the benchmark `name` (stage/rest); None if there is no such job.

    A benchmark may remain from a config with other steps, or from another version.
    """
    paths = study.Paths.of(config, study.runs(config)[0])
    folders = (paths.run, paths.base, paths.task, paths.study)
    candidates = [f"{folder}/benchmarks/{name}.tsv" for folder in folders]
    job = job_of_benchmark(parse(config), candidates)
    if job is None or not all(job.params.get(key, True) for key in ("steps", "prompts")):
        return None
    return work_of_job(config, job)


def answers(config: Config, settings: Mapping[str, Any]) -> int:
    """Number of responses of one evaluation: greedy, for pass@k, and in further attempts."""
    suites = config.evaluation.suites
    counts = dict(zip(suites, problem_counts(config.task, suites), strict=True))
    sampled = sum(count for suite, count in counts.items()
                  if (suite.split, suite.fold) in config.evaluation.sampled)  # fmt: skip
    return sum(counts.values()) + (settings["samples"] + settings["attempts"]) * sampled


@cache
def problem_counts(task: str, suites: tuple[Suite, ...]) -> tuple[int, ...]:
    """Problems of each suite, as `stages.data.write_problems` chooses them."""
    generate = tasks.load(task).problems.generate
    counts = []
    for suite in suites:
        generated = generate(suite.split, suite.orders, EVALUATION_SEED)
        count = sum(problem.fold == suite.fold for problem in generated)
        counts.append(count if suite.limit is None else min(count, suite.limit))
    return tuple(counts)


def _rank(config: Config) -> int:
    """Upper bound on the rank of a matrix; the time of a decomposition is proportional to it."""
    if isinstance(config.model, PretrainedModel):
        return model_size(config).width
    return min(config.model.hidden_size, config.model.intermediate_size)


@dataclass(frozen=True)
class Price:
    """Seconds of a job: a fixed part, and for an aggregate a part per run of the study."""

    seconds: float
    per_run: float
    source: Source


@dataclass(frozen=True)
class Prices:
    """Kind -> (amount of work, seconds) of each measured job."""

    measured: Mapping[str, Sequence[tuple[float, float]]]

    def of(self, work: Work) -> Price:
        """The price of a job."""
        other = ESTIMATES["grpo"] if work.kind in _RL_SETTINGS else _OTHER
        start, *estimated = ESTIMATES.get(work.kind, other)
        known = self.measured.get(work.kind, [])
        like = [seconds for amount, seconds in known if isclose(amount, work.amount)]
        if like and not work.per_run:
            return Price(median(like), 0.0, "measured")
        samples = known or [(estimated[1], estimated[0])]
        start = min(start, _LONGEST_START * min(seconds for _, seconds in samples))
        grows = work.amount * median((seconds - start) / amount for amount, seconds in samples)
        source: Source = "scaled" if known else "estimated"
        return Price(start, grows, source) if work.per_run else Price(start + grows, 0.0, source)


def read_prices(folders: Iterable[Path]) -> Prices:
    """Prices from the benchmarks of finished studies, each read with its recorded config.

    Raises:
        ConfigError: a folder is not that of a study that has run.
    """
    measured: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for folder in folders:
        config = record.read(folder)
        for _, seconds, work in measured_jobs(folder, config):
            runs = len(study.runs(config)) if work.per_run else 1
            measured[work.kind].append((work.amount * runs, seconds))
    return Prices(measured)


def measured_jobs(folder: Path, config: Config) -> Iterator[tuple[str, float, Work]]:
    """Stage, seconds and work of each job of a study that has a benchmark and is in its config."""
    costs = read_costs(benchmark_folders(folder, config))
    for stage, rule, seconds in zip(costs["stage"], costs["rule"], costs["seconds"], strict=True):
        work = work_of(config, f"{stage}/{rule}")
        if work is not None:
            yield str(stage), float(seconds), work


def devices(work: Work, device: Device) -> int:
    """Number of devices that a job holds."""
    return work.threads if device == "core" else work.gpus
