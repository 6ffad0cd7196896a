# SPDX-License-Identifier: MIT
"""GRPO in several processes makes the updates of one process, and resumes after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import rl_jobs
import torch
from rl_jobs import LAST, SETTINGS, Job, sampled
from training_jobs import ONE_PROCESS, difference

from derotate.config.training import Compute
from derotate.models.checkpoint import load, load_state
from derotate.training.launch import launch
from derotate.training.resume import ResumeFolder

SHARDED = Compute(processes=2)
IN_BF16 = Compute(processes=2, precision="bf16", gradient_checkpointing=True)
TWO = {
    "qwen2": Job(SHARDED),
    "pieces": Job(Compute(processes=2, micro_batch=2)),
    "mllama": Job(SHARDED, model="mllama"),
    "shuffled": Job(SHARDED, shuffled=True),
    "kl": Job(SHARDED, settings=SETTINGS.model_copy(update={"kl_coefficient": 1.0})),
    "mllama_bf16": Job(IN_BF16, model="mllama", dtype=torch.bfloat16),
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs of two processes."""
    folder = tmp_path_factory.mktemp("two")
    rl_jobs.write_starts(TWO, folder)
    launch(
        rl_jobs.run,
        processes=2,
        log=folder / "jobs.log",
        arguments={"jobs": TWO, "folder": folder},
    )
    return folder


@pytest.fixture(scope="module")
def one(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same jobs in one process and in float32, on the responses that the two have sampled."""
    folder = tmp_path_factory.mktemp("one")
    jobs = {
        name: replace(job, compute=ONE_PROCESS, replayed=two / name) for name, job in TWO.items()
    }
    rl_jobs.write_starts(jobs, folder)
    rl_jobs.run(jobs, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2", "pieces", "mllama", "shuffled", "kl"])
def test_on_the_same_responses_two_processes_make_the_updates_of_one(
    one: Path, two: Path, name: str
) -> None:
    assert difference(two / name / "end", one / name / "end") < 1e-5
    assert difference(one / name / "start", one / name / "end") > 5e-4
    rows, expected = (pd.read_csv(folder / name / "log.csv") for folder in (two, one))
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-5, atol=1e-5)
    histograms = [(folder / name / "advantages.csv").read_text() for folder in (two, one)]
    assert histograms[0] == histograms[1]


@pytest.mark.slow
def test_the_log_covers_the_responses_of_all_processes(two: Path) -> None:
    rows = pd.read_csv(two / "qwen2" / "log.csv")
    advantages = pd.read_csv(two / "qwen2" / "advantages.csv")
    responses = SETTINGS.prompts * SETTINGS.group_size
    assert rows["responses"].tolist() == [responses] * SETTINGS.updates
    assert (advantages.groupby("update")["count"].sum() == responses).all()
    both = [sampled(two / "qwen2", process) for process in (0, 1)]
    for update, length in enumerate(rows["response_length"]):
        lengths = [len(ids) for responses in both for ids in responses[update]]
        assert length == pytest.approx(sum(lengths) / len(lengths), rel=1e-5)


@pytest.mark.slow
def test_each_process_samples_its_own_responses_and_waits_for_no_other(
    two: Path, tmp_path: Path
) -> None:
    first, second = (sampled(two / "qwen2", process)[0] for process in (0, 1))
    assert first != second
    assert max(map(len, first)) != max(map(len, second))
    # process 0 samples as a single process with its part of the responses
    half = SETTINGS.model_copy(update={"updates": 1, "prompts": SETTINGS.prompts // 2})
    alone = {"alone": Job(settings=half)}
    rl_jobs.write_starts(alone, tmp_path)
    rl_jobs.run(alone, tmp_path)
    assert sampled(tmp_path / "alone", 0) == [first]


@pytest.mark.slow
def test_two_processes_leave_a_checkpoint_like_that_of_one(one: Path, two: Path) -> None:
    for name in ("qwen2", "mllama"):
        of_one, of_two = one / name / "end", two / name / "end"
        files = sorted(path.name for path in of_one.iterdir())
        assert sorted(path.name for path in of_two.iterdir()) == files
        for file in set(files) - {"model.safetensors"}:
            assert (of_two / file).read_text() == (of_one / file).read_text()
        load(of_two)


@pytest.mark.slow
def test_bf16_stays_near_float32_and_leaves_bf16(one: Path, two: Path) -> None:
    rows, expected = (pd.read_csv(folder / "mllama_bf16" / "log.csv") for folder in (two, one))
    for column in ("reward_mean", "loss", "entropy", "response_length"):
        assert rows[column].tolist() == pytest.approx(expected[column].tolist(), rel=0.02)
    assert rows["entropy"].tolist() != pytest.approx(expected["entropy"].tolist(), abs=1e-5)
    end = load_state(two / "mllama_bf16" / "end")
    assert {tensor.dtype for tensor in end.values()} == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_resumes_from_its_latest_state(
    tmp_path: Path, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    rl_jobs.prepare(tmp_path)
    compute = Compute(processes=processes, save_state_every=2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run = subprocess.Popen(
        [sys.executable, rl_jobs.__file__, tmp_path, killed, compute.model_dump_json()],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert run.stdout is not None
    for line in run.stdout:
        if b"in place" in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    resume = ResumeFolder(killed / ".log.csv.resume")
    assert resume.latest_state() == (2, resume.state(2))
    assert not (killed / "log.csv").exists()

    rl_jobs.heal(tmp_path, killed, compute)

    assert "resuming from checkpoint at update 2" in capfd.readouterr().out
    files = ["advantages.csv", "log.csv", "step-1", f"step-{LAST}"]
    assert sorted(path.name for path in killed.iterdir()) == files
    rl_jobs.heal(tmp_path, whole, Compute(processes=processes))
    for update in (1, LAST):
        assert difference(killed / f"step-{update}", whole / f"step-{update}") == 0
    for table in ("log.csv", "advantages.csv"):
        assert (killed / table).read_bytes() == (whole / table).read_bytes()
