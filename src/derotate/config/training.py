# SPDX-License-Identifier: MIT
"""Supervised training: the base, how steps are computed, SFT, and the arms beside it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from derotate.config.block import Block, Count, Rate, Share
from derotate.config.matrix_kinds import DEFAULT_KINDS


class Mixture(RootModel[dict[str, Share]]):
    """Shares of the pretraining samples of the base, by kind. It is part of the data card.

    Kinds are the task's, so `derotate.config.schema` fills in those left out and checks them.
    """

    model_config = ConfigDict(frozen=True)
    root: dict[str, Share] = {}

    def __hash__(self) -> int:
        """Like the blocks, which are frozen; a dict alone has none."""
        return hash(tuple(self.root.items()))


class Base(Block):
    """Pretraining of the tiny base."""

    mixture: Mixture = Field(
        default_factory=Mixture,
        description="what the base is trained on: the task's kinds of samples and their shares, "
        "which sum to 1; a kind left out has the task's own share",
    )
    steps: Count = Field(1000, description="optimizer steps")
    batch_size: Count = Field(128, description="samples a step")
    learning_rate: Rate = Field(2e-3, description="peak of the cosine schedule (AdamW)")
    warmup_steps: Count = Field(100, description="linear warm-up")
    threads: Count = Field(2, description="torch threads")


class Compute(Block):
    """How training steps are computed; their result changes only by rounding.

    The only class of its kind: trainings take this block itself. They import it for type checking
    only, as all settings, so that a new key with a default changes no code digest.
    """

    processes: Count = Field(
        1,
        description="on one node, each with a GPU of its own where there are GPUs; weights, "
        "gradients and optimizer are sharded over them (FSDP2)",
    )
    micro_batch: Count | None = Field(
        None,
        description="samples that a process holds at once, adding up the gradients of its share of "
        "the batch (none: the whole share)",
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="bf16: matrix products in bf16; weights and optimizer are float32 either way",
    )
    gradient_checkpointing: bool = Field(
        False, description="recompute the activations of a layer instead of keeping them"
    )
    save_state_every: Annotated[int, Field(ge=0)] = Field(
        0,
        description="steps after which the training state is kept, so that a job that was "
        "preempted or killed goes on from there (0: it begins its segment again)",
    )

    @property
    def sharded(self) -> bool:
        """Whether weights, gradients and optimizer state are sharded over several processes."""
        return self.processes > 1


class Sft(Block):
    """Supervised fine-tuning on the ID rule, full parameters, as a chain of segments."""

    segments: tuple[tuple[Count, ...], ...] = Field(
        ((20, 40, 60, 80, 120, 200), (350, 600)),
        description="a list of segments, each the steps at which it leaves a checkpoint; a segment "
        "ends at its last step and resumes exactly where the one before ended",
    )
    batch_size: Count = Field(64, description="samples a step")
    learning_rate: Rate = Field(3e-4, description="constant after the warm-up (AdamW)")
    warmup_steps: Count = Field(20, description="linear warm-up")
    threads: Count = Field(1, description="torch threads of a process")
    compute: Compute = Field(
        default_factory=Compute, description="how steps are computed, of SFT and the arms beside it"
    )

    @model_validator(mode="after")
    def _batch_is_dealt_out(self) -> Sft:
        at_once = self.compute.processes * (self.compute.micro_batch or 1)
        if self.batch_size % at_once:
            raise ValueError(
                f"batch_size: got {self.batch_size}, expected a multiple of {at_once}, which is "
                "compute.processes x compute.micro_batch; change one of the three"
            )
        return self

    @model_validator(mode="after")
    def _steps_ascend(self) -> Sft:
        steps = self.steps
        for before, after in pairwise(steps):
            if after <= before:
                raise ValueError(
                    f"segments: step {after} comes after step {before}; steps must ascend through "
                    "all segments, so sort them"
                )
        if not steps or not all(self.segments):
            raise ValueError("segments: each segment needs at least one step")
        return self

    @property
    def steps(self) -> tuple[int, ...]:
        """All steps with a checkpoint, ascending."""
        return tuple(step for segment in self.segments for step in segment)


class Lora(Block):
    """An arm: SFT of a LoRA adapter on the samples of SFT. Its checkpoints are merged models."""

    steps: tuple[Count, ...] = Field(
        (), description="steps at which it leaves a checkpoint, steps of SFT; none: no such arm"
    )
    rank: Count = Field(8, description="rank of the adapter")
    alpha: Annotated[float, Field(gt=0)] = Field(16.0, description="scale; alpha / rank multiplies")
    matrices: tuple[str, ...] = Field(
        DEFAULT_KINDS, description="kinds of matrices that get an adapter"
    )
    learning_rate: Rate = Field(1e-3, description="constant after the warm-up (AdamW)")


class Oracle(Block):
    """SFT on ID and OOD problems in turn: what supervision could reach, an upper bound."""

    steps: tuple[Count, ...] = Field(
        (), description="steps at which it leaves a checkpoint; none: no such arm"
    )


class Diverse(Block):
    """An arm: SFT on the hands of SFT under rules that vary, never the OOD rule.

    Is forgetting the work of one frozen prompt?
    """

    steps: tuple[Count, ...] = Field(
        (), description="steps at which it leaves a checkpoint; none: no such arm"
    )


class Phase(Block):
    """When does forgetting happen? SFT at several learning rates from bases of several strengths.

    Other settings are those of `base` and `sft`. Each pair of a base and a rate is one SFT run.
    """

    base_steps: tuple[Count, ...] = Field(
        (),
        description="pretraining steps, a base for each; that of base.steps is the study's own; "
        "none: no phase diagram",
    )
    learning_rates: tuple[Rate, ...] = Field(
        (), description="of SFT from each of them, constant after the warm-up (AdamW)"
    )
    steps: tuple[Count, ...] = Field(
        (), description="SFT steps with a checkpoint to evaluate; each run ends at the last"
    )

    @model_validator(mode="after")
    def _spans_a_grid(self) -> Phase:
        lists = {name: getattr(self, name) for name in ("base_steps", "learning_rates", "steps")}
        empty = [name for name, values in lists.items() if not values]
        if empty and len(empty) < len(lists):
            raise ValueError(
                f"{empty[0]}: got no value, expected one or more, since other keys of this block "
                "have values; fill it, or empty the others too"
            )
        for name, values in lists.items():
            # as they are written in paths
            if len({f"{value:g}" for value in values}) < len(values):
                raise ValueError(f"{name}: a value occurs twice in {list(values)}; remove it")
        if list(self.steps) != sorted(self.steps):
            raise ValueError(f"steps: got {list(self.steps)}, expected them ascending; sort them")
        return self
