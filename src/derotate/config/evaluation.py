# SPDX-License-Identifier: MIT
"""Config blocks of evaluation and of landmarks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from derotate.config.block import Block, Count, Engine, Fold, require_temperature_of_vllm
from derotate.config.rl import RlEnd


class Landmarks(Block):
    """Named checkpoints. `max_ood` is chosen on the selection fold, the others are fixed here."""

    sft_end: Count = Field(600, description="SFT step that is the end of SFT")
    rl_end: RlEnd = Field(default_factory=RlEnd, description="RL checkpoint that is the end of RL")


class Suite(Block):
    """One set of problems that each checkpoint is evaluated on."""

    split: str = Field(description="id, ood or a control of the task, e.g. id_faces and ood_plain")
    fold: Fold = Field(description="train, rl, selection or test")
    orders: Count = Field(
        1,
        description="problems per number set, matrix or network, each in another order or form",
    )
    limit: Count | None = Field(None, description="upper bound on problems (null: all)")


class Evaluation(Block):
    """How checkpoints are evaluated."""

    suites: tuple[Suite, ...] = Field(
        (), description="the problems of an evaluation (default: those of the task)"
    )
    samples: Annotated[int, Field(ge=0)] = Field(
        0, description="independent samples per problem for pass@k (0: greedy only)"
    )
    sampled: tuple[tuple[str, Fold], ...] = Field(
        (("ood", "test"),),
        description="the suites that get these samples and attempts, as [split, fold]",
    )
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="of these samples")
    attempts: Annotated[int, Field(ge=0)] = Field(
        0, description="greedy attempts with feedback, for models trained on feedback (0: none)"
    )
    max_new_tokens: Count = Field(40, description="most tokens of a response (default: the task's)")
    batch_size: Count = Field(256, description="problems per batch")
    engine: Engine = Field(
        "transformers",
        description="generates the responses; vllm is for GPUs and needs its own environment "
        "(config/README.md); losses are computed with transformers either way",
    )
    threads: Count = Field(1, description="torch threads")

    @model_validator(mode="after")
    def _engine_takes_the_temperature(self) -> Evaluation:
        if self.engine == "vllm":
            require_temperature_of_vllm(self.temperature, "engine")
        return self
