# SPDX-License-Identifier: MIT
"""Reinforcement learning: its two algorithms and which runs there are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from derotate.config.block import Block, Count, Engine, Rate, Share, require_temperature_of_vllm
from derotate.config.training import Compute


def _rollouts() -> Any:
    return Field(
        "transformers",
        description="what samples the responses; vllm (config/README.md) shares the GPUs of the "
        "training and gets the weights before each update, not those of an Mllama",
    )


class Grpo(Block):
    """Group-relative policy optimisation by trl."""

    learning_rate: Rate = Field(3e-5, description="constant (AdamW)")
    updates: Count = Field(30, description="number of updates, one optimizer step each")
    prompts: Count = Field(32, description="problems an update")
    group_size: Annotated[int, Field(ge=2)] = Field(8, description="responses a problem")
    temperature: Annotated[float, Field(gt=0)] = Field(1.4, description="of the sampling")
    clip: Share = Field(0.2, description="clip range of the probability ratio")
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(
        0.0, description="weight of the KL to the start checkpoint in the loss"
    )
    rollouts: Engine = _rollouts()
    threads: Count = Field(1, description="torch threads of a process")
    compute: Compute = Field(
        default_factory=Compute,
        description="how updates are computed, with responses for samples and updates for steps",
    )

    @model_validator(mode="after")
    def _responses_are_dealt_out(self) -> Grpo:
        at_once = self.compute.processes * (self.compute.micro_batch or 1)
        responses = self.prompts * self.group_size
        if responses % at_once:
            raise ValueError(
                f"prompts: got {self.prompts} x group_size {self.group_size}, which is {responses} "
                f"responses, expected a multiple of {at_once}, which is compute.processes x "
                "compute.micro_batch; change one of the four"
            )
        return self

    @model_validator(mode="after")
    def _sampler_takes_the_temperature(self) -> Grpo:
        if self.rollouts == "vllm":
            require_temperature_of_vllm(self.temperature, "rollouts")
        return self


class Ppo(Block):
    """Turn-level PPO as the papers ran it: an action is a response, GAE goes over attempts."""

    learning_rate: Rate = Field(3e-5, description="constant (AdamW)")
    updates: Count = Field(30, description="number of updates")
    prompts: Count = Field(
        256,
        description="problems an update; with one attempt each as many responses as GRPO's 32 x 8",
    )
    attempts: Count = Field(1, description="attempts a problem, each after the verifier's feedback")
    temperature: Annotated[float, Field(gt=0)] = Field(1.4, description="of the sampling")
    epochs: Count = Field(4, description="passes over the rollout of an update")
    minibatches: Count = Field(1, description="optimizer steps a pass")
    clip: Share = Field(0.1, description="clip range of the ratio and of the value")
    value_coefficient: Annotated[float, Field(ge=0)] = Field(0.5, description="weight of its loss")
    discount: Share = Field(0.9, description="gamma of GAE, over attempts")
    trace: Share = Field(0.95, description="lambda of GAE")
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(
        1.0, description="gradient clipping; the papers use 0.01 with a learning rate of 1e-6"
    )
    rollouts: Engine = _rollouts()
    threads: Count = Field(1, description="torch threads of a process")
    compute: Compute = Field(
        default_factory=Compute,
        description="how updates are computed, with responses for samples and updates for steps",
    )

    @model_validator(mode="after")
    def _each_process_has_a_problem(self) -> Ppo:
        if self.prompts < self.compute.processes:
            raise ValueError(
                f"prompts: got {self.prompts}, expected a problem for each of the "
                f"{self.compute.processes} compute.processes; raise prompts or lower processes"
            )
        return self

    @model_validator(mode="after")
    def _sampler_takes_the_temperature(self) -> Ppo:
        if self.rollouts == "vllm":
            require_temperature_of_vllm(self.temperature, "rollouts")
        return self


class RlRun(Block):
    """One RL run of the grid: an algorithm from some SFT steps."""

    algorithm: Literal["grpo", "ppo", "shuffled"] = Field(
        "grpo",
        description="which block gives its settings; shuffled is GRPO whose rewards are dealt to "
        "other responses, a control",
    )
    starts: tuple[Count, ...] = Field((60, 200, 600), description="SFT steps to start from")


class RlEnd(Block):
    """The landmark `rl_end`: the RL result that the stage table shows."""

    algorithm: Literal["grpo", "ppo"] = Field("grpo", description="algorithm of that run")
    start: Count = Field(600, description="its SFT step")


class Rl(Block):
    """Reinforcement learning on the `rl` fold of the ID rule."""

    runs: tuple[RlRun, ...] = Field((RlRun(),), description="the RL part of the grid")
    problems: Count = Field(1000, description="problems of the `rl` fold that updates draw from")
    grpo: Grpo = Field(default_factory=Grpo, description="settings of GRPO")
    ppo: Ppo = Field(default_factory=Ppo, description="settings of PPO")
