# SPDX-License-Identifier: MIT
"""A batch is split evenly over processes and micro-batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derotate.config import schema as config
from derotate.resources.formulas import MB, TORCH_MB
from derotate.resources.stages import rl, sft
from derotate.training.fsdp import micro_batches
from derotate.training.resume import ResumeFolder

COUNTS = st.integers(1, 64)


@given(COUNTS, COUNTS, COUNTS)
def test_the_micro_batches_of_a_step_are_the_batch(processes: int, size: int, steps: int) -> None:
    batch = processes * size * steps
    assert micro_batches(batch, processes, size) == (size, steps)
    assert micro_batches(batch, processes, None) == (size * steps, 1)


@given(COUNTS, COUNTS, COUNTS)
def test_a_batch_that_leaves_a_remainder_is_refused(batch: int, processes: int, size: int) -> None:
    if batch % (processes * size):
        with pytest.raises(ValueError, match="micro_batch x processes to divide the batch size"):
            micro_batches(batch, processes, size)


def test_a_config_whose_batch_cannot_be_split_is_refused_in_one_line() -> None:
    compute = {"processes": 4, "micro_batch": 3}
    with pytest.raises(
        config.ConfigError, match=r"^config: sft: batch_size: got 64, .*= 12;"
    ) as refused:
        config.load({"sft": {"compute": compute}})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_an_update_that_cannot_be_split_is_refused_in_one_line(algorithm: str) -> None:
    block = {"prompts": 3, "compute": {"processes": 16}}
    with pytest.raises(
        config.ConfigError, match=rf"^config: rl.{algorithm}: prompts: got 3.*16"
    ) as refused:
        config.load({"rl": {algorithm: block}})
    assert "\n" not in str(refused.value)


def test_more_processes_take_less_time_and_their_imports_in_main_memory() -> None:
    block = [{"compute": {"processes": processes}} for processes in (1, 4, 16)]
    studies = [config.load({"sft": b, "rl": {"grpo": b, "ppo": b}}) for b in block]
    for needs in (
        [sft(study, (600,), gpu=True) for study in studies],
        [rl(study, "grpo", gpu=True) for study in studies],
        [rl(study, "ppo", gpu=True) for study in studies],
    ):
        seconds = [need.seconds for need in needs]
        assert seconds == pytest.approx([seconds[0], seconds[0] / 4, seconds[0] / 16])
        imports = [need.memory - needs[0].memory for need in needs]
        assert imports == pytest.approx([0, 3 * TORCH_MB * MB, 15 * TORCH_MB * MB])


def test_a_state_saved_under_another_key_is_not_resumed_from(tmp_path: Path) -> None:
    resume = ResumeFolder.open(tmp_path / "resume", "one rate")
    for step in (8, 10):
        resume.state(step).mkdir()
    again = ResumeFolder.open(tmp_path / "resume", "one rate")
    assert again.latest_state() == (10, resume.state(10))
    assert ResumeFolder.open(tmp_path / "resume", "another rate").latest_state() is None


def test_checkpoints_are_delivered_and_the_resume_folder_is_removed(tmp_path: Path) -> None:
    resume = ResumeFolder.open(tmp_path / "resume", "key")
    resume.checkpoint(3).mkdir()
    for name in ("model.safetensors", "config.json"):
        (resume.checkpoint(3) / name).write_text(name)
    resume.deliver({3: tmp_path / "step-3"})
    assert {path.name for path in tmp_path.iterdir()} == {"step-3"}
    assert (tmp_path / "step-3" / "model.safetensors").read_text() == "model.safetensors"
