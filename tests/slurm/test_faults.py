# SPDX-License-Identifier: MIT
"""Killed and cancelled jobs: each run makes its targets, or reports why it cannot."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import checkout
import cluster
import pytest
from runs import FAULTS, Run, diary, state


@pytest.fixture(scope="module")
def unlucky(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout in which one run has met three faults; shared by the tests of each."""
    folder = tmp_path_factory.mktemp("unlucky") / "checkout"
    checkout.copy_checkout(folder)
    run = Run(folder, "faults")
    run.wait_until(lambda: bool(diary(folder, "cancelled")))
    subprocess.run(["scancel", diary(folder, "cancelled")[0][1]], check=True, timeout=60)
    assert run.finish() == 0, run.said
    assert cluster.left_over() == []
    return folder


def attempts(folder: Path, rule: str) -> list[dict[str, str]]:
    """SLURM's record of each attempt of a rule, in order."""
    return [state(number) for event, number in diary(folder, rule) if event == "start"]


def made(folder: Path, rule: str) -> bool:
    """Whether the output of a rule is complete."""
    problems = folder / "results/smoke/general_points/data/problems.csv"
    return (folder / FAULTS / f"{rule}.txt").read_bytes() == problems.read_bytes()


def test_a_job_killed_out_of_memory_succeeds_with_more_memory(unlucky: Path) -> None:
    first, second = attempts(unlucky, "memory")
    assert first["JobState"] in {"FAILED", "OUT_OF_MEMORY"}
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("600M", "1200M")
    assert second["JobState"] == "COMPLETED"
    assert made(unlucky, "memory")


def test_a_job_killed_at_its_time_limit_succeeds_with_more_time(unlucky: Path) -> None:
    first, second = attempts(unlucky, "overtime")
    assert (first["JobState"], first["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert (second["JobState"], second["TimeLimit"]) == ("COMPLETED", "00:10:00")
    assert made(unlucky, "overtime")


def test_a_cancelled_job_is_rerun(unlucky: Path) -> None:
    first, second = attempts(unlucky, "cancelled")
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert made(unlucky, "cancelled")
    assert checkout.leftovers(unlucky) == []


def test_why_reports_a_job_that_slurm_killed_with_its_log(fresh: Path) -> None:
    base = "results/smoke/general_points/base-1/base/model.safetensors"
    little = ("--set-resources", "base:mem_mb=250")
    run = Run(fresh, *little, *("--retries", "0"), base, snakefile="Snakefile")
    assert run.finish() == 1, run.said
    why = subprocess.run(
        [sys.executable, "-m", "derotate.cli", "why"],
        cwd=fresh, env=checkout.environment(fresh), check=True, timeout=120,
        stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    [log] = (fresh / "logs" / "slurm" / "rule_base").rglob("*.log")
    assert "failed: 1 job;" in why
    assert "1. pretraining of base 1 (rule base)\n" in why
    assert f"   SLURM   {log.relative_to(fresh)}\n" in why
    assert "   rerun   unknown cost: no similar job has a benchmark in results/smoke\n" in why
    assert "Repeat the same command to resume; finished jobs are not rerun." in why
