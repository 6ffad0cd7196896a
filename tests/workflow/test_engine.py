# SPDX-License-Identifier: MIT
"""Configs that use vLLM are refused before any job without it; conda supplies its environment."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import venv_conda
from checkout import SMOKE, snakemake

KEYS = {
    "evaluation.engine": "evaluation={engine: vllm}",
    "rl.grpo.rollouts": "rl={grpo: {rollouts: vllm}}",
    "rl.ppo.rollouts": "rl={ppo: {rollouts: vllm}}",
}


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
@pytest.mark.parametrize("key", KEYS)
def test_without_vllm_the_key_is_refused_in_one_line_and_no_file_is_written(
    fresh: Path, key: str
) -> None:
    done = snakemake(fresh, "--config", KEYS[key], config=SMOKE)
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if "vllm" in line] == [
        f"{key}: got vllm, expected transformers, since the package vllm is not installed; run "
        "with --sdm conda, install it here (pip install '.[vllm]'), or change the key"
    ]
    assert "Traceback" not in done.stdout
    assert not (fresh / "results" / "smoke").exists()


@pytest.mark.parametrize(
    ("config", "uses_vllm"), [((), False), *((("--config", KEYS[key]), True) for key in KEYS)]
)
def test_with_conda_the_rules_that_use_vllm_get_its_environment(
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: tuple[str, ...],
    uses_vllm: bool,
) -> None:
    folder = venv_conda.install(tmp_path / "conda")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    plan = snakemake(fresh, "--dry-run", "--sdm", "conda", *config, config=SMOKE)
    assert plan.returncode == 0, plan.stdout
    assert ("envs/vllm.yaml" in plan.stdout) == uses_vllm
    assert "envs/train.yaml" in plan.stdout
