# SPDX-License-Identifier: MIT
"""Why the last run stopped: each failed job, its logs, what waits for it, what it costs to repeat.

How the run ended is read from Snakemake's log of it (`runs.snakemake_log`), what is left to do from
a dry run of the study's own config (`runs.dry_run`), and the costs from the benchmarks of like
jobs of the study, which are those whose benchmark has the same name but for its wildcards.
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
"""How much of a log is shown; the whole is named."""

BENCHMARKS: Final = "benchmarks"
"""The folders in which the study, the task, each base and each run keep theirs."""
ASKED: Final = {"mem_mb": "MB", "runtime": "minutes", "gpu": "GPU"}
"""Resources that are named, with their units."""

ANY: Final = "1024"
"""Cores of the dry run: with fewer than a rule asks for, Snakemake would tell of fewer."""


class WhyError(ValueError):
    """There is no run to ask about; one line."""


@dataclass(frozen=True)
class Cost:
    """What a job takes, by like jobs of its study."""

    seconds: float
    memory_mb: float | None
    jobs: int
    source: str


def explain(folder: Path | None, console: Console) -> None:
    """Print how the last run here ended, or the last run of the study in `folder`.

    Raises:
        WhyError: nothing has run.
    """
    log, study = last_run(folder)
    for line in _lines(log, study):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _lines(log: RunLog, study: Path) -> Iterator[str]:
    live = log.ending is Ending.KILLED and _is_at_work()
    yield _headline(log, study, live=live)
    if log.ending is Ending.REFUSED:
        said = log.last_words[-LAST_LINES:] or ("its log says no more; the same command does",)
        yield from (f"  | {line}" for line in said)
    if not (log.failures or log.interrupted):
        return
    left, unplanned = _left(log, study)
    if unplanned:
        yield f"What is left cannot be told: {unplanned}"
    costs = read_costs(sorted(study.rglob(BENCHMARKS)))
    for number, failure in enumerate(log.failures, start=1):
        yield ""
        tries = f", tried {failure.attempts} times" if failure.attempts > 1 else ""
        yield f"{number}. {failure.title} (rule {failure.rule}{tries})"
        yield from ([f"   said    {failure.said}"] if failure.said else [])
        yield from _logs(failure.logs)
        job = next((job for job in left if set(job.outputs) & set(failure.outputs)), None)
        yield from _repeating(job, left, costs, study)
    for title in log.interrupted:
        yield ""
        yield f"At work{'' if live else ' when it ended'}: {title}"
        job = next((job for job in left if job.title == title), None)
        yield from _logs(job.logs if job else ())
        yield from _repeating(job, left, costs, study)
    if not live:
        yield ""
        yield "The same command goes on; what is done is kept."


def last_run(folder: Path | None) -> tuple[RunLog, Path]:
    """The log of the last run of the study in `folder`, or of any study, and the study's folder.

    Raises:
        WhyError: there is none.
    """
    for path in runlog.newest(Path.cwd()):
        log = runlog.read(path)
        study = Path("results", study_of(log.command))
        if folder is None or study.resolve() == folder.resolve():
            return log, study
    where = f"{folder}: no run of it" if folder else "no run"
    raise WhyError(f"{where} is recorded in {runlog.LOGS}/ here; start one, e.g. by make demo")


def study_of(command: Sequence[str]) -> str:
    """The study that a command line of Snakemake runs: of `--config`, a config file, or demo."""
    for word in command:
        if word.startswith("study="):
            return word.removeprefix("study=")
    for file in reversed(_config_files(command)):
        try:
            values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue  # removed or broken since
        if isinstance(values, dict) and "study" in values:
            return str(values["study"])
    return Config.model_fields["study"].get_default()


def _config_files(command: Sequence[str]) -> list[str]:
    """The config files that a command line names."""
    return [word.rpartition("=")[2] for word in command if word.endswith((".yaml", ".yml"))]


def cost(job: Job, costs: pd.DataFrame, study: Path) -> Cost | None:
    """What a job takes, by the benchmarks of like jobs of the study; None if none was measured.

    Args:
        job: of the dry run.
        costs: the study's jobs, as `read_costs` gives them.
        study: its folder, for the words about the source.
    """
    if job.benchmark is None:
        return None
    name = job.benchmark.rpartition(f"/{BENCHMARKS}/")[2].removesuffix(".tsv")
    pattern, shown = re.escape(name), name
    # seeds are in the names of folders above the benchmarks, so they are not replaced in the name
    values = {v for k, v in job.wildcards.items() if k not in {"base_seed", "seed"}}
    for value in sorted(values, key=len, reverse=True):
        pattern = re.sub(rf"(?<!\w){re.escape(re.escape(value))}(?!\w)", "[^/]+", pattern)
        shown = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "*", shown)
    names = costs["stage"] + "/" + costs["rule"]
    like = costs[names.str.fullmatch(pattern)]
    if like.empty:
        return None
    memory = like["max_rss_mb"].max()
    return Cost(
        seconds=median(like["seconds"]),
        memory_mb=None if pd.isna(memory) else float(memory),
        jobs=len(like),
        source=f"{study}/**/{BENCHMARKS}/{shown}.tsv",
    )


def _headline(log: RunLog, study: Path, *, live: bool) -> str:
    how = {
        Ending.DONE: "ended well, nothing failed",
        Ending.FAILED: f"failed at {plural(len(log.failures), 'job')}",
        Ending.STOPPED: "was stopped by a signal (Ctrl-C or SIGTERM)",
        Ending.REFUSED: "ended before any job began",
        Ending.KILLED: "was killed, its log has no last line",
    }[log.ending]
    if live:
        failed = plural(len(log.failures), "job") if log.failures else "nothing"
        how = f"goes on, {failed} failed so far"
    where = f"{log.date}, {log.path.relative_to(Path.cwd())}"
    return f"The last run of {study} {how}; {plural(log.done, 'job')} done ({where})"


def _is_at_work() -> bool:
    """Whether a run is at work here."""
    try:
        os.close(take_lock(Path.cwd()))
        respect_snakemake(Path.cwd())
    except BusyError:
        return True
    return False


def _left(log: RunLog, study: Path) -> tuple[list[Job], str]:
    """What is left to do of the study, by the config of its last run; or why that is unknown.

    What failed is asked for by name too: the run may have had other targets than the study's.
    """
    recorded = study / record.FILE
    files = [str(recorded)] if recorded.exists() else _config_files(log.command)
    config = ["--configfile", *files] if files else []
    failed = [failure.outputs[0] for failure in log.failures if failure.outputs]
    try:
        return planned([*config, "--profile", "local", "--cores", ANY, TARGET_RULE, *failed]), ""
    except DryRunError as error:
        return [], str(error)


def _logs(logs: Sequence[str]) -> Iterator[str]:
    """Where the rule's log is, and SLURM's if there is one, with the last lines of each."""
    for name, log in zip(("log", "SLURM"), logs, strict=False):
        path = Path(log)
        here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        yield f"   {name:7} {here}"
        yield from (f"           | {line}" for line in _tail(path))


def _repeating(
    job: Job | None, left: Sequence[Job], costs: pd.DataFrame, study: Path
) -> Iterator[str]:
    """What waits for a job, what it takes and what it asks for."""
    if job is None:
        yield "   cost    nothing if it was made since; it is not among what is left to do"
        return
    yield f"   waiting {_behind(waiting(job, left), costs, study)}"
    yield f"   cost    {_price(cost(job, costs, study), study)}"
    asks = [f"{job.resources[name]} {unit}" for name, unit in ASKED.items()
            if job.resources.get(name)]  # fmt: skip
    yield f"   asks    {', '.join([plural(job.threads, 'core'), *asks])}"


def _behind(behind: Sequence[Job], costs: pd.DataFrame, study: Path) -> str:
    """How many jobs wait for a failed one, of which rules, and what they take."""
    if not behind:
        return "nothing"
    rules = Counter(job.rule for job in behind)
    names = ", ".join(f"{rule} {count}" if count > 1 else rule for rule, count in rules.items())
    known = [found for job in behind if (found := cost(job, costs, study))]
    unknown = len(behind) - len(known)
    price = f"about {duration(sum(found.seconds for found in known))} of job time"
    if unknown:
        price += f", without the {unknown} of which no like job was measured"
    unknown_yet = any(job.is_checkpoint for job in behind)
    more = ", and what the landmarks ask for" if unknown_yet else ""
    return f"{plural(len(behind), 'job')} ({names}{more}): {price}"


def _price(found: Cost | None, study: Path) -> str:
    if found is None:
        return f"unknown: no like job was measured in {study}"
    memory = f", up to {found.memory_mb:.0f} MB" if found.memory_mb is not None else ""
    like = "1 like job" if found.jobs == 1 else f"median of {found.jobs} like jobs"
    return f"about {duration(found.seconds)}{memory} ({like}: {found.source})"


def _tail(log: Path) -> list[str]:
    """The last lines of a log that say something."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ["(there is no such file)"]
    return [line for line in lines if line.strip()][-LAST_LINES:] or ["(it is empty)"]
