# SPDX-License-Identifier: MIT
"""PPO in several processes and pieces moves the weights as PPO in one process does."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ppo_jobs
import pytest
import torch
from ppo_jobs import SETTINGS, Job
from training_jobs import difference

from derotate.config.rl import Ppo
from derotate.config.training import Compute
from derotate.models.checkpoint import load, load_state
from derotate.training.launch import launch
from derotate.training.resume import ResumeFolder

RESPONSES = len(ppo_jobs.attempts())
"""Odd, as those of a minibatch are: no two processes have as many of them."""
BF16 = Compute(processes=2, precision="bf16", gradient_checkpointing=True)
ONE = {
    "whole": Job(),
    "tied": Job(model="tied"),
    "mllama": Job(model="mllama"),
    "single": Job(minibatches=RESPONSES),
    "unclipped": Job(max_grad_norm=1e6),
    "resumed": Job(resumed=True),
    "tied_resumed": Job(model="tied", resumed=True),
}
TWO = {
    "whole": Job(Compute(processes=2)),
    "pieces": Job(Compute(processes=2, micro_batch=2)),
    "recomputed": Job(Compute(processes=2, micro_batch=2, gradient_checkpointing=True)),
    "unclipped": Job(Compute(processes=2), max_grad_norm=1e6),
    "single": Job(Compute(processes=2), minibatches=RESPONSES),
    "tied": Job(Compute(processes=2), model="tied"),
    "mllama": Job(Compute(processes=2), model="mllama"),
    "mllama_recomputed": Job(Compute(processes=2, gradient_checkpointing=True), model="mllama"),
    "resumed": Job(Compute(processes=2), resumed=True),
    "tied_resumed": Job(Compute(processes=2), model="tied", resumed=True),
    "mllama_resumed": Job(Compute(processes=2), model="mllama", resumed=True),
    "bf16": Job(BF16),
    "mllama_bf16": Job(BF16, model="mllama"),
}
REFERENCE = {"pieces": "whole", "recomputed": "whole", "mllama_recomputed": "mllama"}
RESUMED = {"resumed": "whole", "tied_resumed": "tied", "mllama_resumed": "mllama"}


def report(folder: Path) -> dict[str, Any]:
    """Rollout and losses of a job."""
    content: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return content


def rows(folder: Path, table: str = "log.csv") -> list[dict[str, str]]:
    """Rows of a table of a run."""
    with (folder / table).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs of one process."""
    folder = tmp_path_factory.mktemp("one")
    ppo_jobs.run_updates(ONE, folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs of two processes."""
    folder = tmp_path_factory.mktemp("two")
    launch(
        ppo_jobs.run_updates,
        processes=2,
        log=folder / "jobs.log",
        arguments={"jobs": TWO, "folder": folder},
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TWO) - {"bf16", "mllama_bf16", *RESUMED}))
def test_two_processes_move_the_weights_as_one(one: Path, two: Path, name: str) -> None:
    reference = one / REFERENCE.get(name, name)
    assert report(two / name)["losses"] == [
        pytest.approx(losses, abs=1e-5) for losses in report(reference)["losses"]
    ]
    assert difference(two / name, reference) < 1e-5
    heads = [torch.load(folder / "value_head.pt") for folder in (two / name, reference)]
    for weight, expected in zip(*(head.values() for head in heads), strict=True):
        torch.testing.assert_close(weight, expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_rollout_is_scored_and_normalised_over_all_processes(one: Path, two: Path) -> None:
    for name in ("whole", "tied", "mllama"):
        for column in ("log_probs", "values", "advantages"):
            of_two, of_one = report(two / name)[column], report(one / name)[column]
            assert len(of_two) == RESPONSES
            assert of_two == pytest.approx(of_one, abs=1e-5)
        advantages = torch.tensor(report(two / name)["advantages"])
        assert advantages.mean().item() == pytest.approx(0, abs=1e-6)
        assert advantages.std(correction=0).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_the_norm_at_which_gradients_are_clipped_is_that_of_all_parts(one: Path, two: Path) -> None:
    norms = {
        name: [report(folder / name)["gradient_norm"] for folder in (one, two)]
        for name in ("whole", "unclipped")
    }
    assert norms["whole"] == pytest.approx([1.0, 1.0])
    assert norms["unclipped"][0] > 1.5
    assert norms["unclipped"][1] == pytest.approx(norms["unclipped"][0], rel=1e-4)


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(one: Path, two: Path) -> None:
    for folder, jobs in ((one, ONE), (two, TWO)):
        for name in RESUMED.keys() & jobs.keys():
            uninterrupted = folder / RESUMED[name]
            assert report(folder / name) == report(uninterrupted)
            assert difference(folder / name, uninterrupted) == 0
            heads = [torch.load(path / "value_head.pt") for path in (folder / name, uninterrupted)]
            assert all(map(torch.equal, *(head.values() for head in heads)))
            assert [path.name for path in (folder / f"{name}.resume").iterdir()] == ["state-1"]
            files = {path.suffix for path in (folder / f"{name}.resume" / "state-1").iterdir()}
            assert files == {".safetensors", ".json"}


@pytest.mark.slow
def test_a_process_holds_its_shard_of_weights_and_optimizer(one: Path, two: Path) -> None:
    for name in ("whole", "tied", "mllama"):
        full, part = (report(folder / name)["stored_elements"] for folder in (one, two))
        # what cannot be halved, as the last bias, belongs to process 0
        assert part == pytest.approx(full / 2, rel=0.02)


@pytest.mark.slow
def test_bf16_stays_near_float32(one: Path, two: Path) -> None:
    for name, reference in (("bf16", "whole"), ("mllama_bf16", "mllama")):
        for losses, expected in zip(
            report(two / name)["losses"], report(one / reference)["losses"], strict=True
        ):
            assert losses == pytest.approx(expected, rel=0.02, abs=5e-3)
            assert losses != pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_run_in_two_processes_logs_the_responses_of_both(tmp_path: Path) -> None:
    """One process is done after an attempt where the other one takes all three."""
    ppo_jobs.prepare(tmp_path, "mllama", torch.bfloat16)
    settings = Ppo(
        temperature=1.0,
        learning_rate=1e-3,
        updates=3,
        prompts=2,
        attempts=3,
        compute=BF16.model_copy(update={"micro_batch": 1}),
    )
    out = tmp_path / "out"
    launch(
        ppo_jobs.run,
        processes=2,
        log=out / "log.csv",
        arguments={
            "folder": tmp_path,
            "out": out,
            "settings": settings,
        },
    )
    assert [row["responses"] for row in rows(out)] == ["4"] * 3
    assert [row["correct_share"] for row in rows(out)] == ["0.25"] * 3
    counted = [int(row["count"]) for row in rows(out, "advantages.csv")]
    assert sum(counted) == 12
    parts = [json.loads((out / f"rewarded-{process}.json").read_text()) for process in (0, 1)]
    rewards = [reward for part in parts for _, reward in part]
    logged = [float(row["reward_mean"]) for row in rows(out)]
    assert sum(logged) / 3 == pytest.approx(sum(rewards) / 12, rel=1e-5)
    # prompt and weights are the same, the samples differ
    assert parts[0][0][0] != parts[1][0][0]
    assert {path.name for path in out.iterdir()} == {
        "log.csv", "advantages.csv", "step-2", "step-3", "rewarded-0.json", "rewarded-1.json",
    }  # fmt: skip
    trained, _ = load(out / "step-3")
    assert {parameter.dtype for parameter in trained.parameters()} == {torch.bfloat16}
    before, after = load_state(tmp_path / "start"), load_state(out / "step-3")
    assert after.keys() == before.keys()
    for name, weight in after.items():
        unread = ("vision_model." in name) or ("projector." in name) or (".layers.1.cross" in name)
        if unread:
            assert torch.equal(weight, before[name]), name
    moved = [name for name, weight in after.items() if not torch.equal(weight, before[name])]
    assert any("embed_tokens" in name for name in moved)
    assert any("down_proj" in name for name in moved)


def test_an_update_without_a_problem_for_each_process_is_refused(tmp_path: Path) -> None:
    compute = Compute(processes=2)
    settings = SETTINGS.model_copy(update={"prompts": 1, "updates": 2, "compute": compute})
    with pytest.raises(ValueError, match=r"prompts: got 1 in 2 processes, expected at least one"):
        ppo_jobs.run(tmp_path, tmp_path / "out", settings)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_resumes_from_its_latest_state(
    tmp_path: Path, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    ppo_jobs.prepare_stage(tmp_path)
    compute = Compute(processes=processes, save_state_every=2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run = subprocess.Popen(
        [sys.executable, ppo_jobs.__file__, tmp_path, killed, compute.model_dump_json()],
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
    assert resume.latest_state() == (4, resume.state(4))
    assert not (killed / "step-3").exists()

    ppo_jobs.stage(tmp_path, killed, compute)

    assert "resuming from checkpoint at update 4" in capfd.readouterr().out
    files = {path.name for path in killed.iterdir()}
    assert files == {"step-3", "step-5", "log.csv", "advantages.csv"}
    ppo_jobs.stage(tmp_path, whole, Compute(processes=processes))
    weights = [f"step-{update}/model.safetensors" for update in (3, 5)]
    for file in ("log.csv", "advantages.csv", *weights):
        assert (killed / file).read_bytes() == (whole / file).read_bytes()
