# SPDX-License-Identifier: MIT
"""GRPO's samples by vLLM, an optional extra, through trl's own support of it.

Each process has an engine of its own on the GPU that it trains on. trl hands the weights over
before each update, gathered tensor by tensor where they are sharded, and puts the engine to sleep
while it trains. The engine computes in bf16, float32 starts too, so its probabilities are not quite
the trainer's: trl weighs responses by the ratio of the two, and leaves out those with one above 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

SHARE: Final = 0.3
"""Of a GPU's memory for the engine beside a training; trl's default."""


class SamplerError(ValueError):
    """A model that vLLM cannot sample from: one line with the key and the remedy."""


def by_vllm(model: Any, stops: Sequence[int], longest: int) -> dict[str, Any]:
    """The arguments of trl's GRPOConfig that let vLLM sample.

    Args:
        model: to be trained, as it was loaded.
        stops: the tokens that end a response.
        longest: tokens of a prompt and its response.

    Raises:
        SamplerError: it is an Mllama, of which vLLM has no model.
    """
    kind = model.config.model_type
    if kind == "mllama":
        raise SamplerError(
            f"rl.grpo.rollouts: got vllm for a model of type {kind}, expected transformers, since "
            "vLLM has no such model and trl hands weights over by their names; change the key"
        )
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": SHARE,
        "vllm_max_model_length": longest,
        # engines on CPUs cannot
        "vllm_enable_sleep_mode": torch.cuda.is_available(),
        "generation_kwargs": {"stop_token_ids": list(stops)},
    }
