# SPDX-License-Identifier: MIT
"""How checkpoints are scored, and which of them have a name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from derotate.config.block import Block, Count, Engine, Fold, require_temperature_of_vllm
from derotate.config.rl import RlEnd


class Landmarks(Block):
    """Checkpoints with a name. `max_ood` is chosen on the selection fold, the others are fixed."""

    sft_end: Count = Field(600, description="SFT step that counts as the end of SFT")
    rl_end: RlEnd = Field(
        default_factory=RlEnd, description="RL result that counts as the end of RL"
    )


class Suite(Block):
    """One set of problems that each checkpoint answers."""

    split: str = Field(description="id, ood or a control of the task, as id_faces and ood_plain")
    fold: Fold = Field(description="train, rl, selection or test")
    orders: Count = Field(
        1,
        description="how many times each number set is dealt, matrix shown or network walked, in "
        "ways that differ",
    )
    limit: Count | None = Field(None, description="at most this many problems (none: all)")


class Evaluation(Block):
    """How checkpoints are scored."""

    suites: tuple[Suite, ...] = Field(
        (), description="the problems of an evaluation; left out: those of the task"
    )
    samples: Annotated[int, Field(ge=0)] = Field(
        0, description="independent samples a problem for pass@k (0: greedy answers only)"
    )
    sampled: tuple[tuple[str, Fold], ...] = Field(
        (("ood", "test"),),
        description="the suites that get those samples and attempts, as [split, fold]",
    )
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="of those samples")
    attempts: Annotated[int, Field(ge=0)] = Field(
        0, description="greedy attempts with feedback, for models trained to read it (0: none)"
    )
    max_new_tokens: Count = Field(
        40, description="length limit of a response; left out: the task's"
    )
    batch_size: Count = Field(256, description="problems generated side by side")
    engine: Engine = Field(
        "transformers",
        description="what writes the responses; vllm is for GPUs and needs its own environment "
        "(config/README.md); losses and guards are computed with transformers either way",
    )
    threads: Count = Field(1, description="torch threads")

    @model_validator(mode="after")
    def _engine_takes_the_temperature(self) -> Evaluation:
        if self.engine == "vllm":
            require_temperature_of_vllm(self.temperature, "engine")
        return self
