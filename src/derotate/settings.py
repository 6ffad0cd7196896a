# SPDX-License-Identifier: MIT
"""The blocks of a config: settings of one stage each, typed, with defaults and descriptions.

The defaults are the demo. `derotate.config` puts the blocks together and checks them against each
other. A stage takes the block it needs as an argument and imports this for type checking only, so
that a new key reruns nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    model_validator,
)

from derotate.spectral.matrices import DEFAULT_KINDS
from derotate.spectral.recipes import Band, Recipe

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Fold = Literal["train", "rl", "selection", "test"]
LEAST_PROMPTS = 3
VLLM_TEMPERATURE: Final = 2.0
"""vLLM 0.30 refuses to sample at a higher one."""


class Block(BaseModel):
    """A block of the config: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _require_temperature_of_vllm(temperature: float, key: str) -> None:
    if temperature > VLLM_TEMPERATURE:
        raise ValueError(
            f"temperature: got {temperature:g}, expected at most {VLLM_TEMPERATURE:g}, which is "
            f"all that vllm takes; lower it, or set {key} to transformers"
        )


class TinyModel(Block):
    """A Llama trained in the DAG from random weights."""

    hidden_size: Count = Field(128, description="width of the residual stream")
    intermediate_size: Count = Field(352, description="width of the MLP")
    layers: Count = Field(4, description="number of decoder layers")
    heads: Count = Field(4, description="attention heads (no grouped keys)")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> TinyModel:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: {self.heads} heads need a hidden_size that is a multiple of "
                f"{2 * self.heads}, got {self.hidden_size}; change one of the two"
            )
        return self


class PretrainedModel(Block):
    """Or a model that others have trained: all jobs start from its weights, none trains a base."""

    pretrained: str = Field(
        description="its name on the Hugging Face hub, or a folder that begins with /, ./, ../ or ~"
    )
    revision: str | None = Field(
        None, description="commit on the hub, 40 hex digits; a folder has none"
    )
    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="of the weights, stored and loaded"
    )
    parameters: Count | None = Field(
        None,
        description="their number, for what jobs ask of the machine; this key and the next two are "
        "read from the folder or the hub's cache where the model is there already",
    )
    layers: Count | None = Field(None, description="number of decoder layers")
    width: Count | None = Field(None, description="of the residual stream")

    @model_validator(mode="after")
    def _can_be_found_again(self) -> PretrainedModel:
        if self.is_folder:
            if self.revision is not None:
                raise ValueError(
                    f"revision: got {self.revision} with the folder {self.pretrained}, expected "
                    "none; remove it, only a name on the hub has revisions"
                )
        elif not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.pretrained, re.ASCII):
            raise ValueError(
                f"pretrained: got {self.pretrained!r}, expected owner/name as on the Hugging Face "
                "hub, or a folder that begins with /, ./, ../ or ~; correct it"
            )
        elif not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError(
                f"revision: got {self.revision or 'none'} for {self.pretrained}, expected the 40 "
                "hex digits of a commit, since branches move; copy one from the model's history"
            )
        sizes = {name: getattr(self, name) for name in ("parameters", "layers", "width")}
        unknown = [name for name, value in sizes.items() if value is None]
        if 0 < len(unknown) < len(sizes):
            raise ValueError(
                f"{unknown[0]}: got none beside other sizes, expected {', '.join(sizes)} together; "
                "give all of them, or none"
            )
        return self

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine; else it is a name on the hub."""
        return self.pretrained.startswith(("/", "./", "../", "~"))


TINY_FORM: Final = "tiny-form"
PRETRAINED_FORM: Final = "pretrained-form"


def _form(values: Any) -> str:
    """Which of the forms of `model` is meant: the key `pretrained` tells."""
    named = isinstance(values, PretrainedModel) or (
        isinstance(values, Mapping) and "pretrained" in values
    )
    return PRETRAINED_FORM if named else TINY_FORM


Model = Annotated[
    Annotated[TinyModel, Tag(TINY_FORM)] | Annotated[PretrainedModel, Tag(PRETRAINED_FORM)],
    Discriminator(_form),
]


class Mixture(RootModel[dict[str, Share]]):
    """Shares of the pretraining samples of the base, by kind. It is part of the data card.

    Kinds are the task's, so `derotate.config` fills in those left out and checks them.
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
    """How the steps of a training are computed: they stay the same steps, but for rounding."""

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


Rollouts = Literal["transformers", "vllm"]


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
    rollouts: Rollouts = _rollouts()
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
            _require_temperature_of_vllm(self.temperature, "rollouts")
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
    rollouts: Rollouts = _rollouts()
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
            _require_temperature_of_vllm(self.temperature, "rollouts")
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
    engine: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="what writes the responses; vllm is for GPUs and needs its own environment "
        "(config/README.md); losses and guards are computed with transformers either way",
    )
    threads: Count = Field(1, description="torch threads")

    @model_validator(mode="after")
    def _engine_takes_the_temperature(self) -> Evaluation:
        if self.engine == "vllm":
            _require_temperature_of_vllm(self.temperature, "engine")
        return self


def _top(fraction: float) -> Band:
    return Band(fraction=fraction)


DEFAULT_RECIPES = (
    Recipe(name="values-top20", part="values", band=_top(0.2)),
    Recipe(name="values-all", part="values", band=_top(1.0)),
    Recipe(name="directions-top5", part="directions", band=_top(0.05)),
    Recipe(name="directions-top20", part="directions", band=_top(0.2)),
    Recipe(name="directions-all", part="directions", band=_top(1.0)),
    Recipe(
        name="directions-top20-matched", part="directions", band=_top(0.2), pairing="similarity"
    ),
    Recipe(name="directions-top20-first-half", part="directions", band=_top(0.2), layers=(0, 1)),
    Recipe(name="both-top20", part="both", band=_top(0.2)),
    Recipe(name="aligned-top20", part="aligned", band=_top(0.2)),
    Recipe(name="low-rank-16", part="low_rank", rank=16),
    Recipe(name="rollback", part="rollback"),
    Recipe(name="interpolate-equal-norm", part="interpolate", match="norm:directions-top20"),
    Recipe(name="interpolate-equal-loss", part="interpolate", match="id_loss:directions-top20"),
    Recipe(name="random-rotation-top20", part="random_rotation", band=_top(0.2)),
    Recipe(name="random-norm-top20", part="random_norm", band=_top(0.2)),
    Recipe(name="wrong-donor-top20", part="directions", band=_top(0.2), donor="base"),
)


class Surgery(Block):
    """Edits of the patient (`sft_end`) with singular values or vectors of the donor (`max_ood`)."""

    recipes: tuple[Recipe, ...] = Field(
        DEFAULT_RECIPES, description="forward: from max_ood into sft_end"
    )
    reverse: tuple[str, ...] = Field(
        ("directions-top20",), description="names of recipes also run from sft_end into rl_end"
    )
    precision: Literal["float32", "float64"] = Field(
        "float32",
        description="of the decompositions that are kept on disk; they are computed in float64",
    )
    threads: Count = Field(1, description="torch threads")


class Diagnostics(Block):
    """Hidden states and changes of weights at the landmarks; none in a study without RL."""

    prompts: Annotated[int, Field(ge=0)] = Field(
        0,
        description="prompts of each suite of the test fold whose hidden states are compared "
        "(0: no diagnostics, of weights neither; else at least 3)",
    )
    threads: Count = Field(1, description="torch threads")

    @model_validator(mode="after")
    def _enough_to_leave_one_out(self) -> Diagnostics:
        if 0 < self.prompts < LEAST_PROMPTS:
            raise ValueError(
                f"prompts: got {self.prompts}, expected 0 or at least {LEAST_PROMPTS}; intervals "
                "leave some out in turn"
            )
        return self


class Guards(Block):
    """What a checkpoint must satisfy before its spectrum is used."""

    marchenko_pastur_distance: Share = Field(
        0.1,
        description="smallest Kolmogorov distance of a matrix's spectrum to the random-matrix law, "
        "as the median over matrices",
    )
    relative_change: Annotated[float, Field(gt=0)] = Field(
        0.5, description="largest ||W - W_base|| / ||W_base|| of a matrix"
    )
    recorded_loss: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="largest difference of a loaded patient's losses to those of its evaluation, "
        "nats a token",
    )
    action: Literal["refuse", "warn"] = Field("refuse", description="what a failed guard does")


class Further(BaseModel):
    """A further study: its config file, and keys that differ here."""

    model_config = ConfigDict(extra="allow", frozen=True)

    file: str = Field(description="its config file")


class Budget(Block):
    """Minutes that the jobs of a stage may take, added up; two run side by side."""

    base: Annotated[float, Field(gt=0)] = Field(4.0, description="pretraining of the base")
    sft: Annotated[float, Field(gt=0)] = Field(3.0, description="SFT segments")
    rl: Annotated[float, Field(gt=0)] = Field(4.0, description="RL runs")
    evaluation: Annotated[float, Field(gt=0)] = Field(9.0, description="all evaluations")
    surgery: Annotated[float, Field(gt=0)] = Field(1.0, description="factors, spectra, diagnostics")
    rest: Annotated[float, Field(gt=0)] = Field(1.0, description="data, tables, figures")
