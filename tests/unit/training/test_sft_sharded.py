# SPDX-License-Identifier: MIT
"""Training in several processes and pieces is the training of one process with the whole batch."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import model_zoo
import pytest
import torch
import training_jobs
from training_jobs import ADAPTER, LAST, Job, difference

from derotate.config.training import Compute
from derotate.models.checkpoint import load, load_state
from derotate.training.launch import LaunchError, launch
from derotate.training.resume import ResumeFolder

ONE = {
    "whole": Job(),
    "tied": Job(model="tied"),
    "mllama": Job(model="mllama"),
    "lora": Job(adapter=ADAPTER),
}
TWO = {
    "whole": Job(Compute(processes=2)),
    "pieces": Job(Compute(processes=2, micro_batch=2)),
    "cut": Job(Compute(processes=2), cut=4),
    "bf16": Job(
        Compute(processes=2, precision="bf16", gradient_checkpointing=True), dtype=torch.bfloat16
    ),
    "tied": Job(Compute(processes=2), model="tied"),
    "mllama_bf16": Job(
        Compute(processes=2, precision="bf16", gradient_checkpointing=True),
        model="mllama",
        dtype=torch.bfloat16,
    ),
    "mllama": Job(Compute(processes=2), model="mllama", cut=4),
    "lora": Job(Compute(processes=2), adapter=ADAPTER),
}
RECOMPUTED = Job(
    Compute(micro_batch=4, precision="bf16", gradient_checkpointing=True), dtype=torch.bfloat16
)


def losses(folder: Path) -> list[float]:
    """The loss of each step, unrounded."""
    state = json.loads((folder / f"state-{LAST}" / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs of one process."""
    folder = tmp_path_factory.mktemp("one")
    training_jobs.write_bases(ONE, folder)
    training_jobs.run(ONE, folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs of two processes."""
    folder = tmp_path_factory.mktemp("two")
    training_jobs.write_bases(TWO, folder)
    launch(
        training_jobs.run,
        processes=2,
        log=folder / "jobs.log",
        arguments={"jobs": TWO, "folder": folder},
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "pieces", "cut", "tied", "mllama", "lora"])
def test_two_processes_have_the_losses_of_one(one: Path, two: Path, name: str) -> None:
    reference = one / (name if name in ONE else "whole")
    assert losses(two / name) == pytest.approx(losses(reference), abs=1e-5)
    last = f"step-{LAST}"
    assert difference(two / name / last, reference / last) < 1e-5


@pytest.mark.slow
def test_what_two_processes_leave_is_the_checkpoint_that_one_leaves(one: Path, two: Path) -> None:
    for name in ONE:
        of_one, of_two = one / name / f"step-{LAST}", two / name / f"step-{LAST}"
        files = sorted(path.name for path in of_one.iterdir())
        assert sorted(path.name for path in of_two.iterdir()) == files
        for file in set(files) - {"model.safetensors"}:
            assert (of_two / file).read_text() == (of_one / file).read_text()
    load(two / "whole" / f"step-{LAST}")


@pytest.mark.slow
def test_bf16_stays_near_float32_and_leaves_bf16(one: Path, two: Path, tmp_path: Path) -> None:
    training_jobs.write_bases({"recomputed": RECOMPUTED}, tmp_path)
    training_jobs.run({"recomputed": RECOMPUTED}, tmp_path)
    for folder, reference in (
        (two / "bf16", one / "whole"),
        (two / "mllama_bf16", one / "mllama"),
        (tmp_path / "recomputed", one / "whole"),
    ):
        assert all(map(math.isfinite, losses(folder)))
        assert losses(folder) == pytest.approx(losses(reference), rel=0.02)
        assert losses(folder) != pytest.approx(losses(reference), abs=1e-5)
        tensors = load_state(folder / f"step-{LAST}").values()
        assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
        described = json.loads((folder / f"step-{LAST}" / "config.json").read_text())
        assert described["dtype"] == "bfloat16"


@pytest.mark.slow
def test_the_main_process_broadcasts_its_weights(tmp_path: Path) -> None:
    jobs = {name: Job(model=name) for name in training_jobs.MODELS}
    training_jobs.write_bases(jobs, tmp_path)
    launch(
        training_jobs.shard_by_hand,
        processes=2,
        log=tmp_path / "jobs.log",
        arguments={"folder": tmp_path},
    )
    for name in jobs:
        assert difference(tmp_path / name / "gathered", tmp_path / name / "base") == 0


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others_with_a_one_line_error(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(LaunchError, match=r"^process 2 of 2 failed.*: .*not a checkpoint$"):
        launch(
            training_jobs.fail,
            processes=2,
            log=tmp_path / "jobs.log",
            arguments={"folder": tmp_path},
        )
    assert time.monotonic() - began < 600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_training_resumes_from_its_latest_state(
    tmp_path: Path, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    training_jobs.prepare(tmp_path)
    compute = Compute(processes=processes, save_state_every=2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run = subprocess.Popen(
        [sys.executable, training_jobs.__file__, tmp_path, killed, compute.model_dump_json()],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert run.stdout is not None
    for line in run.stdout:
        if b"in place" in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    resume = ResumeFolder(killed / ".training.csv.resume")
    assert resume.latest_state() == (4, resume.state(4))
    assert not (killed / "step-3").exists()

    training_jobs.finetune(tmp_path, killed, compute)

    assert "resuming from checkpoint at step 4" in capfd.readouterr().out
    assert sorted(path.name for path in killed.iterdir()) == ["step-3", "step-6", "training.csv"]
    training_jobs.finetune(tmp_path, whole, Compute(processes=processes))
    for step in (3, LAST):
        assert difference(killed / f"step-{step}", whole / f"step-{step}") == 0


@pytest.mark.slow
def test_text_moves_the_layers_of_mllama_that_it_passes_and_no_other(
    two: Path, tmp_path: Path
) -> None:
    before = load_state(model_zoo.write(training_jobs.looks_trained("mllama"), tmp_path))
    after = load_state(two / "mllama" / f"step-{LAST}")
    assert after.keys() == before.keys()
    for name, weight in after.items():
        unread = ("vision_model." in name) or ("projector." in name) or (".layers.1." in name)
        assert torch.equal(weight, before[name]) == unread, name
