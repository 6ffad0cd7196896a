# SPDX-License-Identifier: MIT
"""Small RL runs with rollouts by vLLM, which tests run in one process or several."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import torch
from environments import ToyEnvironment
from model_zoo import llama, power_law

from derotate.config.rl import Grpo, Ppo
from derotate.config.training import Compute
from derotate.models.checkpoint import save
from derotate.models.tiny import tiny_tokenizer
from derotate.training import grpo, ppo
from derotate.training.collectives import is_main_process
from derotate.training.grpo_trainer import SeededGRPOTrainer
from derotate.training.rl_job import RlJob

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
"""trl's metric of an update: the largest difference of a token's log-probability under the trained
weights and under those that vLLM sampled with."""


def write_start(folder: Path) -> None:
    """A model that looks trained."""
    model = llama(width=WIDTH)
    power_law(model, seed=1)
    save(model, tiny_tokenizer(WORDS), folder / "start")


def reward(problem: int, response: str) -> float:
    """For the first word alone."""
    return 5.0 if response.startswith("x") else -1.0


def run_grpo(folder: Path, compute: Compute) -> None:
    """Run in each process; writes the differences of all updates to `differences.json`."""
    differences: list[float] = []
    log = SeededGRPOTrainer.log

    def noting(self: Any, logs: dict[str, Any], start_time: float | None = None) -> None:
        differences.extend(self._metrics["train"].get(DIFFERENCE, []))
        log(self, logs, start_time)

    with unpacked_weights(), patch.object(SeededGRPOTrainer, "log", noting):
        grpo.train(_job(folder, ToyEnvironment(PROMPTS, reward), SETTINGS, compute))
    if is_main_process():
        (folder / "differences.json").write_text(json.dumps(differences), encoding="utf-8")


def run_ppo(folder: Path, compute: Compute) -> None:
    """Run in each process; a second attempt follows a wrong one."""

    def feedback(problem: int, response: str) -> str | None:
        return None if reward(problem, response) > 0 else "b"

    with unpacked_weights():
        ppo.train(_job(folder, ToyEnvironment(PROMPTS, reward, feedback), PPO, compute))


RUNS: Final[dict[str, Callable[..., None]]] = {"grpo": run_grpo, "ppo": run_ppo}


def _job(
    folder: Path, environment: ToyEnvironment, settings: Grpo | Ppo, compute: Compute
) -> RlJob[Any]:
    return RlJob(
        environment=environment,
        start=folder / "start",
        checkpoints={settings.updates: folder / "end"},
        log=folder / "log.csv",
        settings=settings.model_copy(update={"compute": compute}),
        max_new_tokens=4,
        seed=7,
    )


@contextmanager
def unpacked_weights() -> Iterator[None]:
    """Within the block, vLLM multiplies by the weights as loaded, as it does on GPUs.

    On CPUs it packs them for oneDNN once and frees them, so that they could not be updated.
    """
    from vllm import _custom_ops

    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
    torch.set_num_threads(1)
    with patch.object(_custom_ops, "_supports_onednn", False):
        yield
