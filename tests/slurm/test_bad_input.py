# SPDX-License-Identifier: MIT
"""Impossible requests end in one line with cause and remedy, never in a silent wait."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import checkout
import cluster
import pytest
from runs import FAULTS, Run, diary

REFUSED = (
    # more CPUs than a node has: SLURM queues this for ever
    "slow:cpus_per_task=64",
    "memory:mem_mb=99999",
    # expressions, as in rules: sbatch checks them, not the check before the run
    "overtime:slurm_partition=str('nosuch')",
    "cancelled:gpu=1",
    "cancelled:gpu_model=str('h100')",
)


def test_requests_that_no_node_can_meet_are_reported_at_the_end_of_a_run(fresh: Path) -> None:
    run = Run(
        fresh, *("--set-resources", *REFUSED), *("--retries", "0"), "faults", f"{FAULTS}/slow.txt"
    )
    assert run.finish() == 1, run.said
    said = dict(
        line.removeprefix("derotate: ").split(": ", 1)
        for line in run.said.strip().splitlines()[-4:]
    )
    assert said == {
        "slow": "it can never start (PartitionConfig): no node of the partition fits it: "
        "lower its threads, mem_mb or gpu",
        "memory": "sbatch refused it (Memory specification can not be satisfied; Requested node "
        "configuration is not available): no node has that much memory: lower its mem_mb",
        "overtime": "sbatch refused it (invalid partition specified: nosuch; Invalid partition "
        "name specified): correct slurm_partition",
        "cancelled": "sbatch refused it (Requested node configuration is not available): no node "
        "fits it: lower mem_mb, threads or gpu; correct gpu_model",
    }
    assert not (fresh / "diary.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--default-resources", "slurm_partition=nosuch"),
            "command line: slurm_partition: got nosuch, the cluster has no partition nosuch; "
            "expected one of cpu, gpu",
        ),
        (
            ("--set-resources", "base:gpu_model=h100"),
            "command line: gpu_model: got h100, the cluster has no GPU type h100; expected one of "
            "pretend",
        ),
    ],
)
def test_unknown_partitions_and_gpu_types_are_refused_before_the_run(
    fresh: Path, arguments: tuple[str, ...], message: str
) -> None:
    run = Run(fresh, *arguments, "--", f"{FAULTS}/slow.txt")
    assert run.finish() == 1
    assert run.said.splitlines() == [f"derotate: {message}"]


def test_a_cluster_that_does_not_answer_is_reported(fresh: Path) -> None:
    cluster.stop_controller()
    try:
        run = Run(fresh, f"{FAULTS}/slow.txt")
        assert run.finish() == 1
    finally:
        cluster.start_controller()
    [line] = run.said.splitlines()
    assert line.startswith("derotate: slurmctld does not answer (Slurmctld(primary) at ")


@pytest.fixture
def small_disk(fresh: Path, tmp_path: Path) -> Iterator[Path]:
    """The checkout on a separate disk with space for a run, but not for 64 MB more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    used = sum(path.stat().st_blocks * 512 for path in fresh.rglob("*")) >> 20
    size = f"size={used + 60}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True, timeout=60)
    try:
        subprocess.run(["cp", "-a", fresh, folder / "checkout"], check=True, timeout=60)
        yield folder / "checkout"
    finally:
        subprocess.run(["umount", folder], check=True, timeout=60)


def test_a_full_disk_is_reported_and_the_next_run_resumes(small_disk: Path) -> None:
    large = f"{FAULTS}/large.bin"
    run = Run(small_disk, *("--retries", "0"), large)
    assert run.finish() == 1, run.said
    assert "derotate: large: the disk is full (No space left on device): " in run.said, run.said
    assert not (small_disk / large).exists()

    subprocess.run(["mount", "-o", "remount,size=300m", small_disk.parent], check=True, timeout=60)
    again = Run(small_disk, large)
    assert again.finish() == 0, again.said
    assert os.path.getsize(small_disk / large) == 64 << 20
    assert "(Rule: problems)" not in again.said
    assert [event for event, _ in diary(small_disk, "large")].count("start") == 2
    assert checkout.leftovers(small_disk) == []
