# SPDX-License-Identifier: MIT
"""Report on the last run: failed jobs, their logs, the jobs they block, the cost of a rerun.

Three sources: Snakemake's log of the run (`runs.snakemake_log`), a dry run of the study's config
(`runs.dry_run`) for the remaining jobs, and benchmarks of similar jobs for the costs. Similar jobs
are those of the same study whose benchmark files differ only in wildcards.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import pandas as pd
import yaml
from rich.console import Console

from derotate.config.schema import Config
from derotate.report.format import duration, plural
from derotate.runs import snakemake_log as runlog
from derotate.runs.benchmarks import read_costs
from derotate.runs.dry_run import TARGET_RULE, DryRunError, Job, planned, waiting
from derotate.runs.single_writer import BusyError, respect_snakemake, take_lock
from derotate.runs.snakemake_log import Ending, RunLog
from derotate.study import record

LAST_LINES: Final = 8
"""Lines shown of a log; its path is shown too."""

BENCHMARKS: Final = "benchmarks"
"""Name of the benchmark folders of the study, the task, each base and each run."""
REQUESTED: Final = {"mem_mb": "MB", "runtime": "minutes", "gpu": "GPU"}
"""Resources in the report, with their units."""

DRY_RUN_CORES: Final = "1024"
"""More than any rule requests: Snakemake caps the threads of a job at `--cores`."""


class WhyError(ValueError):
    """No run is recorded; the message is one line."""


@dataclass(frozen=True)
class Cost:
    """Time and memory of a job, estimated from similar jobs of its study."""

    seconds: float
    memory_mb: float | None
    jobs: int
    source: str


def explain(folder: Path | None, console: Console) -> None:
    """Print a report on the last run in this directory, or on that of the study in `folder`.

    Raises:
        WhyError: no run is recorded.
    """
    log, study = last_run(folder)
    for line in _lines(log, study):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _lines(log: RunLog, study: Path) -> Iterator[str]:
    live = log.ending is Ending.KILLED and _is_running()
    yield _headline(log, study, live=live)
    if log.ending is Ending.REFUSED:
        errors = log.error_lines[-LAST_LINES:] or ("(no error in the log; repeat the command)",)
        yield from (f"  | {line}" for line in errors)
    if not (log.failures or log.interrupted):
        return
    remaining, reason = _remaining_jobs(log, study)
    if reason:
        yield f"Remaining jobs are unknown: {reason}"
    costs = read_costs(sorted(study.rglob(BENCHMARKS)))
    for number, failure in enumerate(log.failures, start=1):
        yield ""
        attempts = f", {failure.attempts} attempts" if failure.attempts > 1 else ""
        yield f"{number}. {failure.title} (rule {failure.rule}{attempts})"
        yield from ([f"   error   {failure.error}"] if failure.error else [])
        yield from _logs(failure.logs)
        job = next((job for job in remaining if set(job.outputs) & set(failure.outputs)), None)
        yield from _rerun(job, remaining, costs, study)
    for title in log.interrupted:
        yield ""
        yield f"Running{'' if live else ' when the run ended'}: {title}"
        job = next((job for job in remaining if job.title == title), None)
        yield from _logs(job.logs if job else ())
        yield from _rerun(job, remaining, costs, study)
    if not live:
        yield ""
        yield "Repeat the same command to resume; finished jobs are not rerun."


def last_run(folder: Path | None) -> tuple[RunLog, Path]:
    """The log of the last run of the study in `folder`, or of any study, and the study's folder.

    Raises:
        WhyError: no run is recorded.
    """
    for path in runlog.newest(Path.cwd()):
        log = runlog.read(path)
        study = Path("results", study_of(log.command))
        if folder is None or study.resolve() == folder.resolve():
            return log, study
    prefix = f"{folder}: " if folder else ""
    raise WhyError(f"{prefix}no run is recorded in {runlog.LOGS}/; start one, e.g. make demo")


def study_of(command: Sequence[str]) -> str:
    """The study of a Snakemake command line: from `--config`, from a config file, or demo."""
    for word in command:
        if word.startswith("study="):
            return word.removeprefix("study=")
    for file in reversed(_config_files(command)):
        try:
            values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue  # removed or broken after the run
        if isinstance(values, dict) and "study" in values:
            return str(values["study"])
    return Config.model_fields["study"].get_default()


def _config_files(command: Sequence[str]) -> list[str]:
    """Config files on a command line."""
    return [word.rpartition("=")[2] for word in command if word.endswith((".yaml", ".yml"))]


def cost(job: Job, costs: pd.DataFrame, study: Path) -> Cost | None:
    """Cost of a job from the benchmarks of similar jobs of the study; None if there are none.

    Args:
        job: from the dry run.
        costs: benchmarks of the study, as `read_costs` returns them.
        study: folder of the study, for the path of the source.
    """
    if job.benchmark is None:
        return None
    name = job.benchmark.rpartition(f"/{BENCHMARKS}/")[2].removesuffix(".tsv")
    pattern, wildcard_name = re.escape(name), name
    # seeds stand in the names of parent folders, not in the name of the benchmark
    values = {v for k, v in job.wildcards.items() if k not in {"base_seed", "seed"}}
    for value in sorted(values, key=len, reverse=True):
        pattern = re.sub(rf"(?<!\w){re.escape(re.escape(value))}(?!\w)", "[^/]+", pattern)
        wildcard_name = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "*", wildcard_name)
    names = costs["stage"] + "/" + costs["rule"]
    similar = costs[names.str.fullmatch(pattern)]
    if similar.empty:
        return None
    memory = similar["max_rss_mb"].max()
    return Cost(
        seconds=median(similar["seconds"]),
        memory_mb=None if pd.isna(memory) else float(memory),
        jobs=len(similar),
        source=f"{study}/**/{BENCHMARKS}/{wildcard_name}.tsv",
    )


def _headline(log: RunLog, study: Path, *, live: bool) -> str:
    outcome = {
        Ending.DONE: "succeeded",
        Ending.FAILED: f"failed: {plural(len(log.failures), 'job')}",
        Ending.STOPPED: "was stopped by a signal (Ctrl-C or SIGTERM)",
        Ending.REFUSED: "stopped before the first job",
        Ending.KILLED: "was killed (its log is incomplete)",
    }[log.ending]
    if live:
        outcome = f"is running, {plural(len(log.failures), 'job')} failed so far"
    where = f"{log.date}, {log.path.relative_to(Path.cwd())}"
    return f"The last run of {study} {outcome}; {plural(log.done, 'job')} finished ({where})"


def _is_running() -> bool:
    """Whether a run holds the lock of this directory."""
    try:
        os.close(take_lock(Path.cwd()))
        respect_snakemake(Path.cwd())
    except BusyError:
        return True
    return False


def _remaining_jobs(log: RunLog, study: Path) -> tuple[list[Job], str]:
    """Jobs that the study still needs, by the config of its last run, or why they are unknown.

    Outputs of failed jobs are targets too: the run may have had targets beside `all`.
    """
    recorded = study / record.FILE
    files = [str(recorded)] if recorded.exists() else _config_files(log.command)
    config = ["--configfile", *files] if files else []
    failed = [failure.outputs[0] for failure in log.failures if failure.outputs]
    try:
        return planned(
            [*config, "--profile", "local", "--cores", DRY_RUN_CORES, TARGET_RULE, *failed]
        ), ""
    except DryRunError as error:
        return [], str(error)


def _logs(logs: Sequence[str]) -> Iterator[str]:
    """Paths and last lines of the rule's log and of SLURM's log, if there is one."""
    for name, log in zip(("log", "SLURM"), logs, strict=False):
        path = Path(log)
        here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        yield f"   {name:7} {here}"
        yield from (f"           | {line}" for line in _tail(path))


def _rerun(
    job: Job | None, remaining: Sequence[Job], costs: pd.DataFrame, study: Path
) -> Iterator[str]:
    """Jobs that a job blocks, the cost of its rerun and the resources that it requests."""
    if job is None:
        yield "   rerun   not needed: Snakemake does not plan this job again"
        return
    yield f"   blocks  {_blocked(waiting(job, remaining), costs, study)}"
    yield f"   rerun   {_cost_text(cost(job, costs, study), study)}"
    requests = [f"{job.resources[name]} {unit}" for name, unit in REQUESTED.items()
            if job.resources.get(name)]  # fmt: skip
    yield f"   needs   {', '.join([plural(job.threads, 'core'), *requests])}"


def _blocked(blocked: Sequence[Job], costs: pd.DataFrame, study: Path) -> str:
    """Number, rules and cost of the jobs that wait for a failed one."""
    if not blocked:
        return "no job"
    rules = Counter(job.rule for job in blocked)
    names = ", ".join(f"{rule} {count}" if count > 1 else rule for rule, count in rules.items())
    known = [estimate for job in blocked if (estimate := cost(job, costs, study))]
    unknown = len(blocked) - len(known)
    cost_text = f"about {duration(sum(estimate.seconds for estimate in known))} of job time"
    if unknown:
        cost_text += f", excluding {plural(unknown, 'job')} without a benchmark"
    checkpoint = any(job.is_checkpoint for job in blocked)
    more = ", and the jobs behind the landmarks" if checkpoint else ""
    return f"{plural(len(blocked), 'job')} ({names}{more}): {cost_text}"


def _cost_text(estimate: Cost | None, study: Path) -> str:
    if estimate is None:
        return f"unknown cost: no similar job has a benchmark in {study}"
    memory = f", up to {estimate.memory_mb:.0f} MB" if estimate.memory_mb is not None else ""
    jobs = "1 similar job" if estimate.jobs == 1 else f"median of {estimate.jobs} similar jobs"
    return f"about {duration(estimate.seconds)}{memory} ({jobs}: {estimate.source})"


def _tail(log: Path) -> list[str]:
    """The last lines of a log that are not blank."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ["(file not found)"]
    return [line for line in lines if line.strip()][-LAST_LINES:] or ["(empty)"]
