# SPDX-License-Identifier: MIT
"""Supervised training: the base, SFT, its arms, and how training steps are computed."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from derotate.config.block import Block, Count, Rate, Share
from derotate.config.matrix_kinds import DEFAULT_KINDS


class Mixture(RootModel[dict[str, Share]]):
    """Shares of the base's pretraining samples by kind; part of the data card.

    The kinds depend on the task, so `derotate.config.schema` fills in missing ones and checks them.
    """

    model_config = ConfigDict(frozen=True)
    root: dict[str, Share] = {}

    def __hash__(self) -> int:
        """Hashable like the other blocks; a dict is not."""
        return hash(tuple(self.root.items()))


class Base(Block):
    """Pretraining of the tiny base."""

    mixture: Mixture = Field(
        default_factory=Mixture,
        description="pretraining data: kinds of samples of the task and their shares, which sum "
        "to 1; a missing kind has the task's default share",
    )
    steps: Count = Field(1000, description="optimizer steps")
    batch_size: Count = Field(128, description="samples per step")
    learning_rate: Rate = Field(2e-3, description="peak of the cosine schedule (AdamW)")
    warmup_steps: Count = Field(100, description="steps of linear warm-up")
    threads: Count = Field(2, description="torch threads")


class Compute(Block):
    """How training steps are computed; results change only by rounding.

    The only class of its kind: trainings take this block itself. They import it for type checking
    only, as all settings, so that a new key with a default changes no code digest.
    """

    processes: Count = Field(
        1,
        description="processes on one node, one per GPU if there are GPUs; weights, gradients and "
        "optimizer state are sharded over them (FSDP2)",
    )
    micro_batch: Count | None = Field(
        None,
        description="samples per forward pass of a process; gradients accumulate over its share "
        "of the batch (null: the whole share in one pass)",
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="bf16: mixed precision; weights and optimizer state stay float32",
    )
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass instead of storing them"
    )
    save_state_every: Annotated[int, Field(ge=0)] = Field(
        0,
        description="steps between two saved training states, from which a preempted or killed "
        "job resumes (0: none, the job starts over)",
    )

    @property
    def sharded(self) -> bool:
        """Whether weights, gradients and optimizer state are sharded over several processes."""
        return self.processes > 1


class Sft(Block):
    """Supervised fine-tuning of all weights on the ID rule, as a chain of segments."""

    segments: tuple[tuple[Count, ...], ...] = Field(
        ((20, 40, 60, 80, 120, 200), (350, 600)),
        description="list of segments; each lists its steps with a checkpoint, ends at the last, "
        "and resumes exactly where the previous segment ended",
    )
    batch_size: Count = Field(64, description="samples per step")
    learning_rate: Rate = Field(3e-4, description="constant after the warm-up (AdamW)")
    warmup_steps: Count = Field(20, description="steps of linear warm-up")
    threads: Count = Field(1, description="torch threads per process")
    compute: Compute = Field(
        default_factory=Compute, description="how steps of SFT and its arms are computed"
    )

    @model_validator(mode="after")
    def _batch_is_divisible(self) -> Sft:
        divisor = self.compute.processes * (self.compute.micro_batch or 1)
        if self.batch_size % divisor:
            raise ValueError(
                f"batch_size: got {self.batch_size}, expected a multiple of compute.processes x "
                f"compute.micro_batch = {divisor}; change one of the three"
            )
        return self

    @model_validator(mode="after")
    def _steps_ascend(self) -> Sft:
        steps = self.steps
        for before, after in pairwise(steps):
            if after <= before:
                raise ValueError(
                    f"segments: got step {after} after step {before}, expected ascending steps "
                    "over all segments; sort them"
                )
        if not steps or not all(self.segments):
            raise ValueError(
                "segments: got an empty one, expected at least one step per segment; add a step or "
                "remove the segment"
            )
        return self

    @property
    def steps(self) -> tuple[int, ...]:
        """All steps with a checkpoint, in ascending order."""
        return tuple(step for segment in self.segments for step in segment)


class Lora(Block):
    """An arm: a LoRA adapter trained on the samples of SFT; checkpoints are merged models."""

    steps: tuple[Count, ...] = Field(
        (), description="SFT steps with a checkpoint; empty: arm disabled"
    )
    rank: Count = Field(8, description="rank of the adapter")
    alpha: Annotated[float, Field(gt=0)] = Field(
        16.0, description="scale of the adapter is alpha / rank"
    )
    matrices: tuple[str, ...] = Field(
        DEFAULT_KINDS, description="kinds of matrices with an adapter"
    )
    learning_rate: Rate = Field(1e-3, description="constant after the warm-up (AdamW)")


class Oracle(Block):
    """An arm: SFT on ID and OOD problems alternately, an upper bound of supervised training."""

    steps: tuple[Count, ...] = Field((), description="steps with a checkpoint; empty: arm disabled")


class Diverse(Block):
    """An arm: SFT on the hands of SFT under varied rules, without the OOD rule.

    Tests whether forgetting is caused by training on one fixed prompt.
    """

    steps: tuple[Count, ...] = Field((), description="steps with a checkpoint; empty: arm disabled")


class Phase(Block):
    """Phase diagram: SFT at several learning rates from bases of several pretraining lengths.

    Each pair of a base and a learning rate is one SFT run. Other settings are those of `base` and
    `sft`.
    """

    base_steps: tuple[Count, ...] = Field(
        (),
        description="pretraining steps, one base each; base.steps gives the study's own base; "
        "empty: no phase diagram",
    )
    learning_rates: tuple[Rate, ...] = Field(
        (), description="SFT learning rates, constant after the warm-up (AdamW)"
    )
    steps: tuple[Count, ...] = Field(
        (), description="SFT steps with an evaluated checkpoint; each run ends at the last"
    )

    @model_validator(mode="after")
    def _is_a_grid(self) -> Phase:
        lists = {name: getattr(self, name) for name in ("base_steps", "learning_rates", "steps")}
        empty = [name for name, values in lists.items() if not values]
        if empty and len(empty) < len(lists):
            raise ValueError(
                f"{empty[0]}: got an empty list, expected at least one value, since other keys of "
                "this block have values; add values, or empty the other keys too"
            )
        for name, values in lists.items():
            # compared as paths write them
            if len({f"{value:g}" for value in values}) < len(values):
                raise ValueError(
                    f"{name}: got {list(values)}, expected distinct values; remove the repeated one"
                )
        if list(self.steps) != sorted(self.steps):
            raise ValueError(f"steps: got {list(self.steps)}, expected ascending steps; sort them")
        return self
