# SPDX-License-Identifier: MIT
"""Samples of RL by vLLM, an optional extra, through trl's own support of it.

Each process has an engine of its own on the GPU that it trains on. trl hands the weights over
before each update, gathered tensor by tensor where they are sharded, and puts the engine to sleep
while it trains. The engine computes in bf16, float32 starts too, so its probabilities are not quite
the trainer's. In GRPO trl weighs responses by the ratio of the two, and leaves out those with one
above 3; PPO takes them as its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

SHARE: Final = 0.3
"""Of a GPU's memory for the engine beside a training; trl's default."""
AS_LONG_AS_FITS: Final = -1
"""vLLM's word for the model's own context, or as much of it as the cache has room for."""


class SamplerError(ValueError):
    """A model that vLLM cannot sample from: one line with the key and the remedy."""


def for_grpo(model: Any, stops: Sequence[int]) -> dict[str, Any]:
    """The arguments of trl's GRPOConfig that let vLLM sample.

    Args:
        model: to be trained, as it was loaded.
        stops: the tokens that end a response.

    Raises:
        SamplerError: vLLM has no such model.
    """
    require_known(model, "rl.grpo.rollouts")
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": SHARE,
        "vllm_max_model_length": AS_LONG_AS_FITS,
        # engines on CPUs cannot
        "vllm_enable_sleep_mode": torch.cuda.is_available(),
        "generation_kwargs": {"stop_token_ids": list(stops)},
    }


def require_known(model: Any, key: str) -> None:
    """Refuse a model that vLLM does not have.

    Args:
        model: as it was loaded.
        key: of the config that asks for vLLM.

    Raises:
        SamplerError: it is an Mllama. For evaluation one is exported as a Llama; here weights are
            handed over by their names.
    """
    kind = model.config.model_type
    if kind == "mllama":
        raise SamplerError(
            f"{key}: got vllm for a model of type {kind}, expected transformers, since vLLM has no "
            "such model; change the key"
        )


def require_gpu(key: str) -> None:
    """Refuse a job without a GPU before it loads anything.

    Raises:
        SamplerError: there is none, and on a CPU vLLM repacks weights and takes no new ones.
    """
    if not torch.cuda.is_available():
        raise SamplerError(
            f"{key}: got vllm in a job without a GPU, expected transformers, since vLLM takes no "
            "new weights on a CPU; change the key, or give the job a GPU (slurm/README.md)"
        )
