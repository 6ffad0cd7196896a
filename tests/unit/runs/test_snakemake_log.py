# SPDX-License-Identifier: MIT
"""How a run ended is read from the log that Snakemake itself wrote of it."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from snakemake.logging import DefaultFormatter, LogEvent

from derotate.runs import snakemake_log as runlog
from derotate.runs.snakemake_log import Ending, Failure, RunLog

SNAKEFILE = """
rule all:
    input: "made/a", "made/b", "made/c"
rule good:
    output: "made/a"
    message: "evaluation of the base"
    shell: "touch {output}"
rule bad:
    output: "made/{label}"
    log: "logs/{label}.log"
    message: "evaluation of {wildcards.label}, after all"
    shell: "echo no memory > {log}; exit 3"
rule plain:
    output: "made/c"
    shell: "exit 1"
rule slow:
    output: "made/slow"
    message: "a long training"
    shell: "sleep 600"
ruleorder: good > plain > slow > bad
"""
WAIT = 300.0


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    (folder / "Snakefile").write_text(SNAKEFILE)
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def last(folder: Path) -> RunLog:
    return runlog.read(runlog.newest(folder)[0])


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> RunLog:
    """A run with a job that is done and two that fail twice."""
    folder = tmp_path_factory.mktemp("failed")
    assert start(folder, "--keep-going", "--retries", "1", "--show-failed-logs").wait(WAIT) == 1
    return last(folder)


def test_a_failed_job_is_called_by_its_message(failed: RunLog) -> None:
    assert failed.ending is Ending.FAILED
    assert failed.done == 1
    assert failed.interrupted == ()
    bad = next(failure for failure in failed.failures if failure.rule == "bad")
    assert bad.title == "evaluation of b, after all"
    assert bad.outputs == ("made/b",)
    assert bad.logs == ("logs/b.log",)
    assert bad.attempts == 2


def test_a_failed_job_without_message_and_log_is_called_by_its_rule(failed: RunLog) -> None:
    plain = next(failure for failure in failed.failures if failure.rule == "plain")
    assert (plain.title, plain.logs, plain.attempts) == ("plain", (), 2)
    assert len(failed.failures) == 2


def test_a_run_that_made_all_is_done_also_if_there_was_nothing_to_do(tmp_path: Path) -> None:
    for done in (1, 0):
        assert start(tmp_path, "made/a").wait(WAIT) == 0
        log = last(tmp_path)
        assert (log.ending, log.done, log.failures) == (Ending.DONE, done, ())


def test_a_run_that_was_refused_says_why(tmp_path: Path) -> None:
    assert start(tmp_path, "absent").wait(WAIT) == 1
    log = last(tmp_path)
    assert log.ending is Ending.REFUSED
    assert log.error_lines[0].startswith("MissingRuleException")


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGKILL, Ending.KILLED), (signal.SIGINT, Ending.STOPPED)]
)
def test_a_killed_run_names_the_job_at_which_it_was(
    tmp_path: Path, number: signal.Signals, ending: Ending
) -> None:
    run = start(tmp_path, "made/slow")
    deadline = time.monotonic() + WAIT
    while not (runlog.newest(tmp_path) and last(tmp_path).interrupted):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(run.pid, number)  # as a terminal does for Ctrl-C
    run.wait(WAIT)
    log = last(tmp_path)
    assert log.ending is ending
    # Ctrl-C reaches the job too, whose end Snakemake may see, and calls a failure, before its own
    failed = tuple(failure.title for failure in log.failures)
    assert (*log.interrupted, *failed) == ("a long training",)


def said(event: LogEvent, **fields: Any) -> str:
    """What Snakemake writes to its log of an event."""
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    record.__dict__.update(event=event, **fields)
    return DefaultFormatter(show_failed_logs=True).format(record)


def slurm_error(jobid: int, state: str, log: Path, slurm: Path) -> str:
    """The error of a job as the SLURM executor reports it."""
    return said(
        LogEvent.JOB_ERROR, rule_name="grpo", jobid=3, msg="Error in rule grpo, jobid: 3",
        rule_msg=f"SLURM-job '{jobid}' failed, SLURM status is: '{state}'. For further error "
        "details see the cluster/cloud log and the log files of the involved rule(s).",
        input=["sft/model.safetensors"], output=["rl/model.safetensors", "rl/log.csv"],
        log=[str(log), str(slurm)], conda_env=None, shellcmd=None,
        aux={"external_jobid": str(jobid)},
    )  # fmt: skip


@pytest.fixture
def on_slurm(tmp_path: Path) -> str:
    """The log of a run whose only job failed twice on a cluster; SLURM's logs repeat its error."""
    log, first, second = (tmp_path / name for name in ("rule.log", "11.log", "12.log"))
    log.write_text("step 1\n")
    inner = said(
        LogEvent.JOB_ERROR, rule_name="grpo", jobid=0, msg="Error in rule grpo, jobid: 0",
        rule_msg=None, input=[], output=["rl/model.safetensors", "rl/log.csv"], log=[str(log)],
        conda_env=None, shellcmd=None, aux={},
    )  # fmt: skip
    for slurm in (first, second):
        slurm.write_text(f"Job 0: GRPO from SFT step 600\n{inner}\nslurmstepd: error: killed\n")
    begun = "[Sun Nov 22 10:00:00 2026]\nJob 3: GRPO from SFT step 600 (base 1, seed 101)\n"
    return "\n".join(
        [
            "SNAKEMAKE\n=========\n  Date: 2026-11-22 10:00:00",
            "  Command: snakemake --profile slurm",
            "Building DAG of jobs...",
            begun,
            slurm_error(11, "TIMEOUT", log, first),
            "Trying to restart job 3.",
            begun,
            slurm_error(12, "OUT_OF_MEMORY", log, second),
            "Exiting because a job execution failed. Look above for error messages",
            "Complete log(s): somewhere",
        ]
    )


def read(folder: Path, text: str) -> RunLog:
    path = folder / "run.log"
    path.write_text(text)
    return runlog.read(path)


def test_a_job_that_failed_on_slurm_is_one_failure_with_its_last_state(
    tmp_path: Path, on_slurm: str
) -> None:
    log = read(tmp_path, on_slurm)
    assert log.ending is Ending.FAILED
    assert log.failures == (
        Failure(
            rule="grpo",
            jobid=3,
            title="GRPO from SFT step 600 (base 1, seed 101)",
            outputs=("rl/model.safetensors", "rl/log.csv"),
            logs=(str(tmp_path / "rule.log"), str(tmp_path / "12.log")),
            error="SLURM-job '12' failed, SLURM status is: 'OUT_OF_MEMORY'.",
            attempts=2,
        ),
    )


def test_a_job_that_was_repeated_with_success_did_not_fail(tmp_path: Path, on_slurm: str) -> None:
    before, _, _ = on_slurm.rpartition("[Sun Nov 22 10:00:00 2026]\nJob 3")
    finished = "Finished jobid: 3 (Rule: grpo)\nComplete log(s): somewhere\n"
    log = read(tmp_path, before + finished)
    assert (log.ending, log.failures, log.done) == (Ending.DONE, (), 1)
