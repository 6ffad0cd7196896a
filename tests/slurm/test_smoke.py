# SPDX-License-Identifier: MIT
"""The full smoke study by `snakemake --profile slurm`: the same results as of a local run."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import checkout
import cluster
import pytest
from runs import FAULTS, Run, state

TRAIN: Final = {
    *("base", "phase_base", "sft_to_4", "sft_to_8", "phase_sft"),
    *("lora", "oracle", "diverse", "grpo", "ppo", "shuffled"),
}
"""The rules that request a GPU if the profile requests one for training."""
TIME: Final = re.compile(r"^\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]$", re.MULTILINE)
"""The time stamp that Snakemake writes at the start and end of a job."""
GPU: Final = ("gpu=1", f"gpu_model={cluster.GPU}", "slurm_partition=gpu")


@dataclass(frozen=True)
class Smoke:
    """Two runs of the smoke study.

    Attributes:
        local: the folder of the one by `--profile local`.
        slurm: the folder of the one by `--profile slurm`.
        slurm_seconds: wall time of the second.
        jobs: SLURM's record of each job of the second.
    """

    local: Path
    slurm: Path
    slurm_seconds: float
    jobs: list[dict[str, str]]


@pytest.fixture(scope="module")
def smoke(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    """The smoke study run in both ways; on SLURM with a GPU for each training job."""
    local = checkout.finished_study("smoked", checkout.SMOKE, tmp_path_factory)
    folder = tmp_path_factory.mktemp("slurm") / "checkout"
    checkout.copy_checkout(folder)

    asked = [f"training:{request}" for request in GPU]
    command = [
        *(sys.executable, "-m", "snakemake", "--profile", "slurm"),
        *("--configfile", checkout.SMOKE, "--set-resources", *asked),
    ]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=checkout.environment(folder), text=True,
        timeout=checkout.PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    slurm_seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout
    assert cluster.left_over() == []
    return Smoke(local, folder, slurm_seconds, jobs_of(folder))


def jobs_of(folder: Path) -> list[dict[str, str]]:
    """SLURM's record of each job that ran in a folder."""
    said = subprocess.run(
        ["squeue", "--states=all", "--noheader", "--format=%A %Z"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    return [state(line.split()[0]) for line in said if line.endswith(f" {folder}")]


def rule(job: dict[str, str]) -> str:
    """The rule of a job, from the comment that the plugin sets."""
    return job["Comment"].removeprefix("rule_").split("_wildcards_")[0]


def test_the_tables_equal_those_of_a_local_run_byte_for_byte(smoke: Smoke) -> None:
    assert checkout.tables(smoke.slurm) == checkout.tables(smoke.local)
    assert checkout.files(smoke.slurm) == checkout.files(smoke.local)
    assert checkout.leftovers(smoke.slurm) == []


def test_exactly_the_rules_that_train_get_a_gpu(smoke: Smoke) -> None:
    asked = {rule(job): job.get("TresPerJob", "") for job in smoke.jobs}
    assert {name for name, gres in asked.items() if "gpu" in gres} == TRAIN
    assert {asked[name] for name in TRAIN} == {f"gres:gpu:{cluster.GPU}:1"}
    assert {job["Partition"] for job in smoke.jobs if rule(job) in TRAIN} == {"gpu"}


def test_a_second_run_submits_nothing(smoke: Smoke) -> None:
    asked = [f"training:{request}" for request in GPU]
    again = Run(smoke.slurm, "--set-resources", *asked, snakefile="Snakefile")
    assert again.finish() == 0, again.said
    assert "Nothing to be done" in again.said
    assert len(jobs_of(smoke.slurm)) == len(smoke.jobs)


def test_overhead_is_at_most_two_thirds_of_the_time_in_the_small_jobs_of_the_smoke_study(
    smoke: Smoke, record_property: Callable[[str, object], None]
) -> None:
    took = sum(seconds(job) for job in smoke.jobs)
    own = sum(script_seconds(job) for job in smoke.jobs)
    measured = {
        "jobs": len(smoke.jobs),
        "seconds in SLURM's jobs": round(took),
        "of these added by SLURM and Snakemake": round(took - own),
        "wall seconds": round(smoke.slurm_seconds),
    }
    print(json.dumps(measured, indent=1))
    for name, value in measured.items():
        record_property(name, value)
    assert (
        own > took / 3
    )  # half where it was measured; a job's share is small where jobs take minutes


def test_the_overhead_of_a_job_is_a_few_starts_of_snakemake(fresh: Path) -> None:
    # before and after, since other tests may use the cores at one time and not at the other
    before = start_seconds(fresh)
    run = Run(fresh, f"{FAULTS}/slow.txt")
    assert run.finish() == 0, run.said
    a_start = max(before, start_seconds(fresh))
    [job] = (job for job in jobs_of(fresh) if rule(job) == "slow")
    added = seconds(job) - script_seconds(job)
    print(f"added to a job: {added:.1f} s; one start of Snakemake: {a_start:.1f} s")
    assert added < 6 * a_start  # it starts twice


def start_seconds(folder: Path) -> float:
    """Wall time of a dry run: one start of Snakemake."""
    began = time.monotonic()
    checkout.snakemake(folder, "--dry-run", config=checkout.SMOKE)
    return time.monotonic() - began


def seconds(job: dict[str, str]) -> float:
    """Wall time of a job in seconds."""
    start, end = (datetime.fromisoformat(job[key]) for key in ("StartTime", "EndTime"))
    return (end - start).total_seconds()


def script_seconds(job: dict[str, str]) -> float:
    """Wall time of a job's script in whole seconds, from the log of the Snakemake that ran it.

    Two Snakemakes write to the log; the outer one writes first and last.
    """
    log = Path(job["StdOut"]).read_text()
    _, start, end, _ = (
        datetime.strptime(time, "%a %b %d %H:%M:%S %Y") for time in TIME.findall(log)
    )
    return (end - start).total_seconds()
