# SPDX-License-Identifier: MIT
"""What can be said about SLURM without a SLURM: names, words, what is checked before a run."""

from pathlib import Path

import pytest

from derotate.runs import single_writer as running
from derotate.runs.slurm import check_requests as requests
from derotate.runs.slurm import cluster, start
from derotate.runs.slurm import orphaned_jobs as orphans
from derotate.runs.slurm import pending_reasons as reasons
from derotate.runs.slurm.cluster import Inventory, SlurmError

HAS = Inventory(partitions=frozenset({"cpu", "gpu"}), gpus=frozenset({"a100", ""}))


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", []),
        ("gpu:4", [""]),
        ("gpu:a100:4", ["a100"]),
        ("gpu:a100:4(S:0-1),disk:1", ["a100"]),
        ("gpu:a100:2(S:0,1),gpu:h100:2", ["a100", "h100"]),
        ("gpu", [""]),
        ("craynetwork:3", []),
    ],
)
def test_types_of_gpus_are_read_from_generic_resources(gres: str, expected: list[str]) -> None:
    assert cluster.gpu_types(gres) == expected


def test_a_job_is_named_by_rule_and_wildcards() -> None:
    job = cluster.Job("7", "RUNNING", "None", "derotate_x", "rule_grpo_wildcards_1_101_8", "/x")
    assert job.rule == "grpo 1_101_8"


@pytest.mark.parametrize(
    ("reason", "ever"),
    [
        ("PartitionConfig", False),
        ("PartitionTimeLimit", False),
        ("QOSMaxCpuPerJobLimit", False),
        ("AssocMaxWallDurationPerJobLimit", False),
        ("Resources", True),
        ("Priority", True),
        ("None", True),
        ("BeginTime", True),
        ("QOSMaxJobsPerUserLimit", True),
        ("AssocGrpCpuLimit", True),
        ("PartitionDown", True),
    ],
)
def test_only_reasons_that_time_does_not_end_mean_never(reason: str, ever: bool) -> None:
    assert (reasons.never(reason) is None) is ever


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition "
            "specified: x\nsbatch: error: Batch job submission failed: Invalid partition name "
            "specified'.\n    sbatch call:\n        sbatch --account=y",
            "sbatch refused it (invalid partition specified: x; Invalid partition name specified): "
            "correct slurm_partition",
        ),
        (
            "SLURM sbatch failed. The error message was 'sbatch: error: never seen before'.\n",
            "sbatch refused it (never seen before)",
        ),
        (
            "SLURM-job '12' failed, SLURM status is: 'TIMEOUT'. Detailed",
            "SLURM ended it as TIMEOUT: it ran longer than its runtime: raise it",
        ),
        ("SLURM-job '12' failed, SLURM status is: 'FAILED'. Detailed", None),
        ("", None),
    ],
)
def test_what_failed_is_explained_where_slurm_is_the_cause(
    message: str, expected: str | None
) -> None:
    assert reasons.explained(message) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full (No space left on dev"),
        ("cp: error writing 'x': Disk quota exceeded", "the disk is full (Disk quota exceeded)"),
        (
            "slurmstepd: error: StepId=9.0 exceeded memory limit (9 > 8), being killed",
            "it used more memory than its mem_mb (exceeded memory limit)",
        ),
        ("error: Detected 1 oom_kill event in StepId=9.0", "it used more memory than its mem_mb"),
        ("KeyError: 'memory'", None),
    ],
)
def test_disk_and_memory_are_found_in_the_logs_of_a_job_that_failed(
    tmp_path: Path, written: str, expected: str | None
) -> None:
    (tmp_path / "9.log").write_text(f"Building DAG of jobs...\n{written}\n")
    found = reasons.explained_by_logs([tmp_path / "missing.log", tmp_path / "9.log"])
    assert (found is None) if expected is None else (found or "").startswith(expected)


@pytest.mark.parametrize(
    ("profile", "arguments", "message"),
    [
        (
            "default-resources: {slurm_partition: nope}",
            [],
            "default-resources: slurm_partition: got nope, .*; expected one of cpu, gpu",
        ),
        ("default-resources: [slurm_partition=nope, runtime=3]", [], "default-res.* got nope"),
        (
            "set-resources: {training: {gpu: 1, gpu_model: h100}}",
            [],
            "set-resources: training: gpu_model: got h100, .* no GPU type h100",
        ),
        ("set-resources: {rl: {gres: 'gpu:h100:2'}}", [], "gres: got gpu:h100:2"),
        ("{}", ["--set-resources", "base:slurm_partition=nope"], "command line: slurm_partition"),
        ("[1]", [], "expected keys with values"),
        ("{", [], "profile.yaml: while parsing"),
    ],
)
def test_names_that_the_cluster_does_not_have_are_refused_in_one_line(
    tmp_path: Path, profile: str, arguments: list[str], message: str
) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text(profile)
    with pytest.raises(SlurmError, match=message) as error:
        requests.require(arguments, HAS, file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("profile", "arguments"),
    [
        ("", []),
        ("default-resources: {slurm_partition: 'cpu,gpu', mem_mb: 3}", []),
        ("set-resources: {training: {gpu_model: a100, gres: 'gpu:1'}}", []),
        # an expression is judged by sbatch, one job at a time
        ("default-resources: {slurm_partition: \"'nope' if threads > 1 else 'cpu'\"}", []),
        ("default-resources: {slurm_partition: nope}", ["--default-resources", "mem_mb=3"]),
    ],
)
def test_names_that_the_cluster_has_pass(
    tmp_path: Path, profile: str, arguments: list[str]
) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text(profile)
    requests.require(arguments, HAS, file)


def test_the_profile_of_this_checkout_names_nothing_that_a_cluster_may_lack() -> None:
    requests.require([], Inventory(frozenset(), frozenset()))


def test_without_slurm_its_missing_commands_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlurmError, match=r"SLURM: sbatch, squeue.* login node"):
        cluster.require_commands()


def test_a_run_of_another_machine_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    orphans.MARK.parent.mkdir()
    orphans.MARK.write_text("login-7")
    with pytest.raises(running.BusyError, match="a run of login-7 may still use this directory"):
        start.require_this_host()
    orphans.MARK.unlink()
    start.require_this_host()


def test_after_a_killed_run_on_slurm_a_local_one_asks_for_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    orphans.require_none(tmp_path)
    (tmp_path / orphans.MARK).parent.mkdir()
    (tmp_path / orphans.MARK).write_text("login-7")
    with pytest.raises(
        SlurmError, match=r"state of its jobs is unknown \(squeue: not found on PATH\)"
    ):
        orphans.require_none(tmp_path)
