# SPDX-License-Identifier: MIT
"""What jobs ask for covers what they were seen to take, and grows with model and attempt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.config import schema as config
from derotate.config.model import TinyModel
from derotate.config.schema import Config
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.resources import stages as stage_resources
from derotate.resources.formulas import (
    BFLOAT16,
    SNAKEMAKE_MB,
    STATE_BYTES,
    Devices,
    Need,
    Size,
    decoding,
    decomposition,
    disk_mb,
    mem_mb,
    minutes,
    training,
)
from derotate.study.provenance import ROOT, imported_modules
from derotate.tasks.general_points.defaults import DEFAULTS
from derotate.tasks.general_points.pretraining import WORDS

CHECKOUT = Path(__file__).resolve().parents[3]
LAPTOP_MB = 8000
SEVEN_BILLION = Size(7_000_000_000, 3584, 28, BFLOAT16)
SMALL = Size(1_000_000, 128, 4)


def study(name: str) -> Config:
    """The study of a file in config/; a nested key replaces a default, a list a list."""
    return config.load(yaml.safe_load((CHECKOUT / "config" / name).read_text(encoding="utf-8")))


DEMO, SMOKE, TINY = study("demo.yaml"), study("smoke.yaml"), study("tiny.yaml")
EVALUATIONS = 6 * (9 + 3 + 17)

# Peaks of memory (RSS, MB) and wall time (s) as Snakemake's benchmarks have them: the largest of
# the demo with two bases and three seeds each, of the tiny study, of the smoke study.
MEASURED = [
    ("base", stage_resources.pretraining(DEMO, gpu=False), 1069.4, 275.7),
    ("sft", stage_resources.sft(DEMO, (350, 600), after=200, gpu=False), 765.3, 146.0),
    ("oracle", stage_resources.sft(TINY, (200, 600), gpu=False), 785.4, 629.9),
    ("grpo", stage_resources.rl(DEMO, "grpo", gpu=False), 1177.6, 116.1),
    ("shuffled", stage_resources.rl(TINY, "grpo", gpu=False), 1222.8, 126.6),
    ("ppo", stage_resources.rl(TINY, "ppo", gpu=False), 883.7, 378.9),
    ("evaluate", stage_resources.evaluation(DEMO), 659.9, 29.8),
    ("surgery", stage_resources.surgery(DEMO), 674.4, 36.8),
    ("factors", stage_resources.factors(DEMO, checkpoints=1), 335.8, 5.4),
    ("spectra", stage_resources.factors(DEMO, checkpoints=2), 426.0, 8.7),
    ("weights", stage_resources.factors(TINY, checkpoints=4), 399.2, 4.6),
    ("states", stage_resources.states(TINY), 612.5, 13.5),
    ("landmarks", stage_resources.small_job(), 139.3, 1.4),
    ("oracle_samples", stage_resources.small_job(), 121.8, 20.2),
    ("tables", stage_resources.aggregate(EVALUATIONS), 1198.2, 60.1),
    ("accuracy_by_step", stage_resources.aggregate(6 * 9), 493.0, 15.6),
    ("figures", stage_resources.aggregate(0), 263.8, 23.9),
    ("smoke ppo", stage_resources.rl(SMOKE, "ppo", gpu=False), 497.9, 7.7),
    ("smoke lora", stage_resources.sft(SMOKE, (8,), gpu=False), 513.8, 8.5),
    ("smoke evaluate", stage_resources.evaluation(SMOKE), 493.0, 8.0),
]


@pytest.mark.parametrize(
    ("need", "peak_mb", "seconds"),
    [case[1:] for case in MEASURED],
    ids=[case[0] for case in MEASURED],
)
def test_a_job_asks_for_what_it_was_seen_to_take_beside_snakemake(
    need: Need, peak_mb: float, seconds: float
) -> None:
    assert peak_mb + SNAKEMAKE_MB < mem_mb(need) < 3 * (peak_mb + SNAKEMAKE_MB)
    assert seconds < 60 * minutes(need)


@pytest.mark.parametrize("need", [case[1] for case in MEASURED])
def test_two_jobs_of_a_tiny_model_fit_a_laptop(need: Need) -> None:
    assert 2 * mem_mb(need) < LAPTOP_MB


def test_full_fine_tuning_of_seven_billion_asks_for_its_training_state() -> None:
    need = training(
        SEVEN_BILLION, tokens_at_once=64 * 512, tokens=64 * 512 * 400, checkpoints=8,
        devices=Devices(threads=8, gpu=True),
    )  # fmt: skip
    state_mb = STATE_BYTES * SEVEN_BILLION.parameters // 10**6
    assert state_mb == 112_000
    assert state_mb < mem_mb(need) < 1.5 * state_mb
    assert disk_mb(need) > 8 * 14_000 + state_mb
    assert 60 < minutes(need) < 24 * 60


sizes = st.builds(
    Size,
    parameters=st.integers(10**5, 10**11),
    width=st.integers(16, 16_384),
    layers=st.integers(1, 128),
)
attempts = st.integers(1, 5)


def works(size: Size) -> list[Need]:
    """Each kind of work on a model."""
    once = {"tokens_at_once": 4096, "tokens": 1e6, "checkpoints": 2}
    return [
        training(size, devices=Devices(1, gpu=False), **once),
        training(size, devices=Devices(1, gpu=True), **once),
        decoding(size, models=1, tokens_at_once=100, read=1000, written=1000, threads=1),
        decomposition(size, checkpoints=2, threads=1),
    ]


@settings(deadline=None)
@given(size=sizes, attempt=attempts)
def test_a_further_attempt_asks_for_more(size: Size, attempt: int) -> None:
    for need in works(size):
        assert mem_mb(need, attempt + 1) > mem_mb(need, attempt)
        assert minutes(need, attempt + 1) > minutes(need, attempt)


@settings(deadline=None)
@given(sizes, st.integers(1, 4), attempts)
def test_a_larger_model_asks_for_no_less(size: Size, times: int, attempt: int) -> None:
    larger = Size(size.parameters * times, size.width * times, size.layers * times)
    for small, large in zip(works(size), works(larger), strict=True):
        assert mem_mb(large, attempt) >= mem_mb(small, attempt)
        assert minutes(large, attempt) >= minutes(small, attempt)
        assert disk_mb(large) >= disk_mb(small)


def test_a_gpu_holds_the_activations_and_is_faster() -> None:
    once = {"tokens_at_once": 65_536, "tokens": 1e9, "checkpoints": 1}
    cpu, gpu = (training(SMALL, devices=Devices(8, gpu), **once) for gpu in (False, True))
    assert mem_mb(gpu) < mem_mb(cpu)
    assert minutes(gpu) < minutes(cpu)


@pytest.mark.parametrize("model", [TinyModel(), SMOKE.model, TinyModel(layers=1, heads=2)])
def test_the_size_of_a_tiny_model_is_its_number_of_parameters(model: TinyModel) -> None:
    made = tiny_model(model, tiny_tokenizer(WORDS), seed=0)
    assert stage_resources.tiny_size(model, DEFAULTS.vocabulary).parameters == sum(
        p.numel() for p in made.parameters()
    )


@pytest.mark.parametrize(
    ("module", "uses_gpu"),
    [("stages.base", True), ("stages.sft", True), ("training.grpo", True), ("training.ppo", True),
     ("stages.evaluate", True), ("stages.surgery", True), ("stages.factors", False),
     ("stages.spectra", False), ("stages.states", True), ("stages.weights", False),
     ("stages.fetch", False)],
)  # fmt: skip
def test_the_rules_that_may_get_a_gpu_are_those_whose_code_looks_for_one(
    module: str, uses_gpu: bool
) -> None:
    # workflow/rules asks for them by `trains` and, of pretrained models, by `scores`
    modules = imported_modules(ROOT, [f"derotate.{module}"])
    files = (ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in modules)
    code = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    assert bool(re.search(r"cuda\.is_available", code)) == uses_gpu
