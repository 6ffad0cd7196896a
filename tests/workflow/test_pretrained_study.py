# SPDX-License-Identifier: MIT
"""The full DAG from tiny models of the papers' architectures, as bfloat16 shards."""

import json
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from checkout import ORIGINAL, dry_run, leftovers, run, snakemake
from safetensors import safe_open

from derotate.models.tiny import tiny_tokenizer
from derotate.tasks.general_points.problems import generate
from derotate.tasks.general_points.prompts import prompt, response

ZOO = runpy.run_path(str(ORIGINAL / "tests" / "helpers" / "model_zoo.py"))
CONFIG: dict[str, Any] = {
    "style": "natural",
    "model": {"pretrained": "./shards"},
    "sft": {"segments": [[2]], "batch_size": 2, "warmup_steps": 1, "learning_rate": 1e-4},
    "rl": {
        "runs": [{"algorithm": "grpo", "starts": [2]}, {"algorithm": "ppo", "starts": [2]}],
        "problems": 8,
        "grpo": {"updates": 1, "prompts": 2, "group_size": 2},
        "ppo": {"updates": 1, "prompts": 2, "epochs": 1},
    },
    "landmarks": {"sft_end": 2, "rl_end": {"algorithm": "grpo", "start": 2}},
    "surgery": {
        "recipes": [{"name": "directions-all", "part": "directions", "band": {"fraction": 1.0}}],
        "reverse": ["directions-all"],
    },
    "diagnostics": {"prompts": 3},
    "evaluation": {
        "suites": [
            {"split": "id", "fold": "selection", "limit": 3},
            {"split": "ood", "fold": "selection", "limit": 3},
            {"split": "ood", "fold": "test", "limit": 3},
        ],
        "max_new_tokens": 4,
    },
}


def write_model(name: str, folder: Path) -> None:
    """Write a model with trained-looking spectra and a tokenizer with the words of the task."""
    dealt = [problem for split in ("id", "ood") for problem in generate(split, 1, seed=0)]
    said = [response(problem, "natural") for problem in dealt[:50]]
    for problem in dealt:
        turns = prompt(problem, "natural")
        assert not isinstance(turns, str)
        said += [turn["content"] for turn in turns]
    tokenizer = tiny_tokenizer(sorted({word for text in said for word in text.split()}))
    tokenizer.model_max_length = 4096
    model = ZOO[name](vocabulary=len(tokenizer))
    ZOO["power_law"](model, seed=1)
    ZOO["write"](model.to(torch.bfloat16), folder, shard="20KB")
    tokenizer.save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "processes"), [("qwen2", 1), ("mllama", 2)])
def test_a_pretrained_model_runs_through_the_full_study(
    fresh: Path, name: str, processes: int
) -> None:
    compute = {"processes": processes, "precision": "bf16", "gradient_checkpointing": True}
    rl = CONFIG["rl"] | {
        algorithm: CONFIG["rl"][algorithm] | {"compute": compute} for algorithm in ("grpo", "ppo")
    }
    config = CONFIG | {"study": name, "rl": rl}
    (fresh / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    refused = snakemake(fresh, "--dry-run", config=f"{name}.yaml")
    assert refused.returncode != 0
    assert "give model.parameters, layers and width" in refused.stdout.splitlines()[-1]

    write_model(name, fresh / "shards")
    jobs = run(fresh, config=f"{name}.yaml")
    assert (jobs["fetch"], jobs.get("base", 0), jobs["surgery"]) == (1, 0, 2)
    assert leftovers(fresh) == []

    task = fresh / "results" / name / "general_points"
    base = task / "base-1" / "base"
    assert json.loads((base / "fetched.json").read_text())["pretrained"] == "./shards"
    trained = task / "base-1" / "seed-1" / "rl" / "grpo" / "from-2" / "step-1"
    with safe_open(base / "model.safetensors", "pt") as before, \
         safe_open(trained / "model.safetensors", "pt") as after:  # fmt: skip
        assert set(before.keys()) == set(after.keys())
        assert {after.get_tensor(key).dtype for key in after.keys()} == {torch.bfloat16}  # noqa: SIM118
    guards = pd.read_csv(task / "base-1" / "factors" / "base-guards.csv")
    assert guards["marchenko_pastur_distance"].median() > 0.1
    assert (fresh / "results" / name / "tables" / "claims.csv").is_file()
    assert "The base is a pretrained model" in (task / "data" / "card.md").read_text()

    config_of_model = fresh / "shards" / "config.json"
    config_of_model.write_text(config_of_model.read_text() + "\n")
    assert dry_run(fresh, config=f"{name}.yaml")["fetch"] == 1
