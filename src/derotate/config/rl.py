# SPDX-License-Identifier: MIT
"""Reinforcement learning: settings of GRPO and PPO, and the runs of the grid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from derotate.config.block import Block, Count, Engine, Rate, Share, require_temperature_of_vllm
from derotate.config.training import Compute


def _rollouts() -> Any:
    return Field(
        "transformers",
        description="engine that samples the responses; vllm (config/README.md) shares the GPUs "
        "of the training and gets new weights before each update, but has no Mllama",
    )


class Grpo(Block):
    """Group-relative policy optimisation by trl."""

    learning_rate: Rate = Field(3e-5, description="constant (AdamW)")
    updates: Count = Field(30, description="number of updates, one optimizer step each")
    prompts: Count = Field(32, description="problems per update")
    group_size: Annotated[int, Field(ge=2)] = Field(8, description="responses per problem")
    temperature: Annotated[float, Field(gt=0)] = Field(1.4, description="sampling temperature")
    clip: Share = Field(0.2, description="clip range of the probability ratio")
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(
        0.0, description="coefficient of the KL to the start checkpoint in the loss"
    )
    rollouts: Engine = _rollouts()
    threads: Count = Field(1, description="torch threads per process")
    compute: Compute = Field(
        default_factory=Compute,
        description="as sft.compute; batch = responses, step = update",
    )

    @property
    def responses_per_update(self) -> int:
        """Responses that an update samples and trains on."""
        return self.prompts * self.group_size

    @property
    def epochs_per_update(self) -> int:
        """Training passes over the responses of an update."""
        return 1

    @model_validator(mode="after")
    def _batch_is_divisible(self) -> Grpo:
        divisor = self.compute.processes * (self.compute.micro_batch or 1)
        responses = self.responses_per_update
        if responses % divisor:
            raise ValueError(
                f"prompts: got {self.prompts} x group_size {self.group_size} = {responses} "
                f"responses, expected a multiple of compute.processes x compute.micro_batch = "
                f"{divisor}; change one of the four"
            )
        return self

    @model_validator(mode="after")
    def _engine_supports_temperature(self) -> Grpo:
        if self.rollouts == "vllm":
            require_temperature_of_vllm(self.temperature, "rollouts")
        return self


class Ppo(Block):
    """Turn-level PPO as in the papers: an action is a response, GAE runs over attempts."""

    learning_rate: Rate = Field(3e-5, description="constant (AdamW)")
    updates: Count = Field(30, description="number of updates")
    prompts: Count = Field(
        256,
        description="problems per update; with one attempt each, as many responses as GRPO's "
        "32 x 8",
    )
    attempts: Count = Field(
        1, description="attempts per problem, each after the verifier's feedback"
    )
    temperature: Annotated[float, Field(gt=0)] = Field(1.4, description="sampling temperature")
    epochs: Count = Field(4, description="epochs over the rollout of an update")
    minibatches: Count = Field(1, description="minibatches per epoch, one optimizer step each")
    clip: Share = Field(0.1, description="clip range of the probability ratio and of the value")
    value_coefficient: Annotated[float, Field(ge=0)] = Field(
        0.5, description="coefficient of the value loss"
    )
    discount: Share = Field(0.9, description="gamma of GAE, over attempts")
    trace: Share = Field(0.95, description="lambda of GAE")
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(
        1.0, description="gradient clipping norm; the papers use 0.01 at a learning rate of 1e-6"
    )
    rollouts: Engine = _rollouts()
    threads: Count = Field(1, description="torch threads per process")
    compute: Compute = Field(
        default_factory=Compute,
        description="as sft.compute; batch = responses, step = update",
    )

    @property
    def responses_per_update(self) -> int:
        """Responses that an update samples and trains on, if every attempt is used."""
        return self.prompts * self.attempts

    @property
    def epochs_per_update(self) -> int:
        """Training passes over the responses of an update."""
        return self.epochs

    @model_validator(mode="after")
    def _processes_have_problems(self) -> Ppo:
        if self.prompts < self.compute.processes:
            raise ValueError(
                f"prompts: got {self.prompts}, expected at least one problem per process "
                f"(compute.processes: {self.compute.processes}); raise prompts or lower processes"
            )
        return self

    @model_validator(mode="after")
    def _engine_supports_temperature(self) -> Ppo:
        if self.rollouts == "vllm":
            require_temperature_of_vllm(self.temperature, "rollouts")
        return self


RlSettings = Grpo | Ppo
"""The settings of an RL run: one of the blocks."""


class RlRun(Block):
    """RL runs of the grid: one algorithm from several SFT steps."""

    algorithm: Literal["grpo", "ppo", "shuffled"] = Field(
        "grpo",
        description="grpo and ppo take their settings from the block of that name; shuffled is "
        "the control: GRPO with rewards permuted within each update",
    )
    starts: tuple[Count, ...] = Field(
        (60, 200, 600), description="SFT steps of the start checkpoints"
    )


class RlEnd(Block):
    """The landmark `rl_end`: the RL run that the stage table shows."""

    algorithm: Literal["grpo", "ppo"] = Field("grpo", description="algorithm of the run")
    start: Count = Field(600, description="SFT step of its start checkpoint")


class Rl(Block):
    """Reinforcement learning on the `rl` fold of the ID rule."""

    runs: tuple[RlRun, ...] = Field((RlRun(),), description="RL runs of the grid")
    problems: Count = Field(1000, description="number of problems in the `rl` fold")
    grpo: Grpo = Field(default_factory=Grpo, description="settings of GRPO")
    ppo: Ppo = Field(default_factory=Ppo, description="settings of PPO")
