# SPDX-License-Identifier: MIT
"""RL rollouts by vLLM, an optional extra, through trl's integration.

Each process has a colocated engine on the GPU that it trains on. Weights are sent to the engine
before each update, gathered tensor by tensor where they are sharded, and the engine sleeps during
the training step. It computes in bf16 even for float32 weights, so its probabilities differ
slightly from the trainer's. For GRPO, trl weights responses by the ratio of the two and drops those
with a ratio above 3. PPO uses the responses without a correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor
from trl.generation.vllm_generation import VLLMGeneration

from derotate.models.chat import Prompt, prompt_ids, stop_ids

if TYPE_CHECKING:
    from derotate.training.multi_turn import Sample, Sampler

GPU_MEMORY_UTILIZATION: Final = 0.3
"""Share of a GPU's memory for the engine beside a training; trl's default."""
AUTOMATIC_LENGTH: Final = -1
"""vLLM's value for the model's own context, or as much of it as the KV cache has room for."""


class RolloutError(ValueError):
    """Rollouts that vLLM cannot make; one line with the key and the remedy."""


def require_gpu(key: str) -> None:
    """Refuse a job without a GPU before it loads anything.

    Args:
        key: of the config, for the message.

    Raises:
        RolloutError: there is no GPU; on CPUs vLLM repacks the weights and cannot update them.
    """
    if not torch.cuda.is_available():
        raise RolloutError(
            f"{key}: got vllm in a job without a GPU, expected transformers, since vLLM cannot "
            "update weights on a CPU; change the key, or give the job a GPU (slurm/README.md)"
        )


def require_supported(model: Any, key: str) -> None:
    """Refuse an architecture that vLLM does not have.

    Args:
        model: as loaded.
        key: of the config, for the message.

    Raises:
        RolloutError: the model is an Mllama. Evaluation exports one as a Llama; here weights are
            sent by name, so the architecture must be the same.
    """
    model_type = model.config.model_type
    if model_type == "mllama":
        raise RolloutError(
            f"{key}: got vllm for a model of type {model_type}, expected transformers, since vLLM "
            "does not support the architecture; change the key"
        )


def grpo_arguments(model: Any, stops: Sequence[int]) -> dict[str, Any]:
    """Arguments of trl's GRPOConfig for rollouts by vLLM.

    Args:
        model: to train, as loaded.
        stops: token ids that end a response.

    Raises:
        RolloutError: see `require_supported`.
    """
    require_supported(model, "rl.grpo.rollouts")
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": GPU_MEMORY_UTILIZATION,
        "vllm_max_model_length": AUTOMATIC_LENGTH,
        # CPU engines have no sleep mode
        "vllm_enable_sleep_mode": torch.cuda.is_available(),
        "generation_kwargs": {"stop_token_ids": list(stops)},
    }


class ColocatedSampler(VLLMGeneration):
    """Samples PPO's responses: trl's engine for a policy that is sharded without accelerate."""

    def __init__(self, model: Any, tokenizer: Any, temperature: float, max_new_tokens: int) -> None:
        """Start an engine, in every process.

        Args:
            model: the policy, sharded or not; the engine reads its config and first weights from
                the checkpoint that the model was loaded from.
            tokenizer: of the policy.
            temperature: of sampling.
            max_new_tokens: length limit of a response.

        Raises:
            RolloutError: see `require_supported`.
        """
        require_supported(model, "rl.ppo.rollouts")
        gpu = torch.cuda.is_available()
        # CPU engines have no sleep mode
        self._can_sleep = gpu
        super().__init__(
            model,
            Accelerator(cpu=not gpu),
            tokenizer,
            mode="colocate",
            gpu_memory_utilization=GPU_MEMORY_UTILIZATION,
            max_model_length=AUTOMATIC_LENGTH,
            enable_sleep_mode=gpu,
            temperature=temperature,
            max_completion_length=max_new_tokens,
            generation_kwargs={"stop_token_ids": stop_ids(model, tokenizer)},
        )

    @contextmanager
    def synced(self) -> Iterator[Sampler]:
        """Send the policy's weights to the engine, and keep it awake within the block.

        trl would send them again before each generation, with all processes taking part. Second
        attempts are not made by every process, so that is turned off within the block.
        """
        self.enable_sleep_mode = self._can_sleep
        # this wakes the engine
        self.sync_weights()
        self.enable_sleep_mode = False
        if self._can_sleep:
            self.llm.wake_up(tags=["kv_cache"])
        yield self._sample
        if self._can_sleep:
            # level 2 discards the weights: the next update sends new ones
            self.llm.sleep(level=2)

    def _sample(self, contexts: list[Prompt]) -> list[Sample]:
        ids = prompt_ids(self.processing_class, contexts)
        _, responses, *_ = self.generate(ids, images=None, num_generations=1)
        return [
            (tuple(context), tuple(response))
            for context, response in zip(ids, responses, strict=True)
        ]

    def _iter_named_params(self) -> Iterator[tuple[str, Tensor]]:
        """Full weights one by one; trl's own asks accelerate, which has not sharded this policy."""
        for name, weight in self.model.named_parameters():
            yield name, weight.full_tensor() if isinstance(weight, DTensor) else weight.data
