# SPDX-License-Identifier: MIT
"""An engine of vLLM on the GPU of a process that trains by itself, with the weights that it trains.

trl's own, which it makes for its trainers: what differs is that the policy here is sharded without
accelerate, and that an update draws several times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor
from trl.generation.vllm_generation import VLLMGeneration

from derotate.models.chat import Prompt, prompt_ids, stop_ids
from derotate.training.multi_turn import Drawn, Sampler
from derotate.training.sampler import AS_LONG_AS_FITS, SHARE, require_known


class Colocated(VLLMGeneration):
    """Draws responses from a policy, whose weights it gets before each update."""

    def __init__(self, model: Any, tokenizer: Any, temperature: float, max_new_tokens: int) -> None:
        """Start an engine, in each process.

        Args:
            model: the policy, sharded or whole; the engine reads its config and first weights from
                the checkpoint that it was loaded from.
            tokenizer: its tokenizer.
            temperature: of the samples.
            max_new_tokens: length limit of a response.

        Raises:
            SamplerError: vLLM has no such model.
        """
        require_known(model, "rl.ppo.rollouts")
        gpu = torch.cuda.is_available()
        self._sleeps = gpu  # engines on CPUs cannot
        super().__init__(
            model,
            Accelerator(cpu=not gpu),
            tokenizer,
            mode="colocate",
            gpu_memory_utilization=SHARE,
            max_model_length=AS_LONG_AS_FITS,
            enable_sleep_mode=gpu,
            temperature=temperature,
            max_completion_length=max_new_tokens,
            generation_kwargs={"stop_token_ids": stop_ids(model, tokenizer)},
        )

    @contextmanager
    def drawing(self) -> Iterator[Sampler]:
        """Within the block, responses come from the weights that the policy has at its beginning.

        All processes hand weights over at the beginning. trl would do so again before the second
        attempts, which not every process may have; the engine is kept awake for the block instead.
        """
        self.enable_sleep_mode = self._sleeps
        self.sync_weights()  # which wakes it
        self.enable_sleep_mode = False
        if self._sleeps:
            self.llm.wake_up(tags=["kv_cache"])
        yield self._draw
        if self._sleeps:
            self.llm.sleep(level=2)  # without weights: the next update brings them

    def _draw(self, contexts: list[Prompt]) -> list[Drawn]:
        ids = prompt_ids(self.processing_class, contexts)
        _, responses, *_ = self.generate(ids, images=None, num_generations=1)
        return [(tuple(own), tuple(drawn)) for own, drawn in zip(ids, responses, strict=True)]

    def _iter_named_params(self) -> Iterator[tuple[str, Tensor]]:
        """The whole weights, one after another; trl asks accelerate whether they are sharded."""
        for name, weight in self.model.named_parameters():
            yield name, weight.full_tensor() if isinstance(weight, DTensor) else weight.data
