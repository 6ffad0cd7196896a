# SPDX-License-Identifier: MIT
"""Supervised training: segments that resume equal a run that was never cut, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from derotate.config.model import TinyModel
from derotate.config.training import Compute
from derotate.models.checkpoint import load_state
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.tasks.samples import Sample
from derotate.training.sft import Optimisation, SftJob, train

TINY = TinyModel(hidden_size=16, intermediate_size=16, layers=1, heads=1)
OPTIMISATION = Optimisation(
    learning_rate=1e-2,
    batch_size=2,
    warmup_steps=4,  # so that a segment ends inside the warm-up
    schedule="constant_with_warmup",
    seed=3,
)
WORDS = ("a", "b", "c", "d")
STEPS = (2, 3, 6)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def samples(after: int, last: int) -> list[Sample]:
    """Two samples a step, no two alike, for the steps after `after` up to `last`."""
    texts = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS]
    size = OPTIMISATION.batch_size
    return [Sample(text, text[::-1]) for text in texts[after * size : last * size]]


def segment(folder: Path, after: int, steps: tuple[int, ...]) -> None:
    """Train the steps after `after`, from the saved state, and save the next state."""
    tokenizer = tiny_tokenizer(WORDS)
    job = SftJob(
        optimisation=OPTIMISATION,
        checkpoints={step: folder / f"step-{step}" for step in steps},
        log=folder / f"training-{steps[-1]}.csv",
        compute=Compute(),
        previous_state=folder / f"state-{after}" if after else None,
        final_state=folder / f"state-{steps[-1]}",
    )
    train(tiny_model(TINY, tokenizer, seed=1), tokenizer, samples(after, steps[-1]), job)


def same(one: Path, other: Path) -> bool:
    """Whether two checkpoints have the same weights, bit for bit."""
    first, second = load_state(one), load_state(other)
    return first.keys() == second.keys() and all(
        torch.equal(weight, second[name]) for name, weight in first.items()
    )


def test_segments_that_resume_equal_a_run_that_was_never_cut(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    segment(whole, 0, STEPS)
    for after, steps in ((0, (2,)), (2, (3,)), (3, (6,))):
        segment(cut, after, steps)
    for step in STEPS:
        assert same(cut / f"step-{step}", whole / f"step-{step}")
    assert not same(whole / "step-2", whole / "step-3")


def test_a_segment_that_starts_anew_is_another_run(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    segment(whole, 0, (2, 3))
    segment(cut, 0, (3,))
    assert same(cut / "step-3", whole / "step-3")  # a checkpoint on the way changes nothing
    tokenizer = tiny_tokenizer(WORDS)
    job = SftJob(OPTIMISATION, {1: tmp_path / "anew"}, tmp_path / "anew.csv", Compute())
    train(tiny_model(TINY, tokenizer, seed=1), tokenizer, samples(2, 3), job)
    assert not same(tmp_path / "anew", whole / "step-3")


def test_a_run_leaves_its_checkpoints_its_log_and_its_state_and_nothing_else(
    tmp_path: Path,
) -> None:
    killed = tmp_path / ".training-3.csv.scratch"
    killed.mkdir()
    (killed / "checkpoint-1").mkdir()
    segment(tmp_path, 0, (2, 3))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"step-2", "step-3", "training-3.csv", "state-3"}
