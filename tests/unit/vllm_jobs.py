# SPDX-License-Identifier: MIT
"""A small GRPO run on the samples of vLLM that tests run in one process or several."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import torch
from model_zoo import llama, power_law

from derotate.checkpoints import save
from derotate.models import tiny_tokenizer
from derotate.settings import Grpo
from derotate.training import grpo
from derotate.training.compute import Compute
from derotate.training.launch import is_first
from derotate.training.measuring import MeasuringTrainer

PROMPTS: Final = ("a", "b b", "a b", "b a a")
WORDS: Final = ("a", "b", "x", "y", *(f"w{number}" for number in range(42)))
WIDTH: Final = 128
"""vLLM's attention on CPUs takes heads of 32 and wider."""
SETTINGS: Final = Grpo(
    rollouts="vllm", learning_rate=3e-3, updates=40, prompts=4, group_size=8, temperature=1.0
)
DIFFERENCE: Final = "sampling/sampling_logp_difference/max"
"""What trl logs of an update: the largest difference of a token's log-probability under the weights
that are trained and under those that vLLM sampled with."""


def write_start(folder: Path) -> None:
    """A model that looks trained."""
    model = llama(width=WIDTH)
    power_law(model, seed=1)
    save(model, tiny_tokenizer(WORDS), folder / "start")


def run(folder: Path, compute: Compute) -> None:
    """What each process does; the differences of all updates are left in `differences.json`."""
    from vllm import _custom_ops

    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
    torch.set_num_threads(1)
    differences: list[float] = []
    log = MeasuringTrainer.log

    def noting(self: Any, logs: dict[str, Any], start_time: float | None = None) -> None:
        differences.extend(self._metrics["train"].get(DIFFERENCE, []))
        log(self, logs, start_time)

    with (
        # On CPUs vLLM packs weights for oneDNN once and drops them, so that none can be loaded
        # anew; without it they are multiplied by as they are loaded, as on GPUs.
        patch.object(_custom_ops, "_supports_onednn", False),
        patch.object(MeasuringTrainer, "log", noting),
    ):
        grpo.train(
            start=folder / "start",
            checkpoints={SETTINGS.updates: folder / "end"},
            log=folder / "log.csv",
            prompts=PROMPTS,
            reward=lambda index, response: 5.0 if response.startswith("x") else -1.0,
            settings=SETTINGS,
            max_new_tokens=4,
            seed=7,
            compute=compute,
        )
    if is_first():
        (folder / "differences.json").write_text(json.dumps(differences), encoding="utf-8")
