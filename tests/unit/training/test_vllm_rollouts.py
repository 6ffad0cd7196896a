# SPDX-License-Identifier: MIT
"""RL with rollouts by a real vLLM, whose weights are updated before each update.

Skipped where vLLM is not installed; tests/unit/evaluation/test_vllm.py says how these run.
"""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import vllm_jobs

from derotate.config.training import Compute
from derotate.training.launch import launch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: test_vllm.py"),
]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("algorithm", vllm_jobs.RUNS)
def test_it_learns_from_samples_of_the_trained_weights(
    tmp_path: Path, algorithm: str, processes: int
) -> None:
    vllm_jobs.write_start(tmp_path)
    launch(
        vllm_jobs.RUNS[algorithm],
        processes=processes,
        log=tmp_path / "log.csv",
        arguments={"folder": tmp_path, "compute": Compute(processes=processes)},
    )
    with (tmp_path / "log.csv").open() as file:
        rewards = [float(row["reward_mean"]) for row in csv.DictReader(file)]
    # samples of the first weights would go on earning what they earned at first
    assert rewards[0] < 0
    assert rewards[-1] > 4.0
    if algorithm == "grpo":
        differences = json.loads((tmp_path / "differences.json").read_text(encoding="utf-8"))
        assert len(differences) == vllm_jobs.SETTINGS.updates
        # vLLM computes in bf16; the first weights would be several nats away at the end
        assert max(differences) < 0.1
