# SPDX-License-Identifier: MIT
"""The typed config of a study.

One pydantic model per block, in `derotate.config`. Descriptions and defaults are written there and
here only. `derotate config` generates the documented default file (`config/demo.yaml`) and the JSON
schema from them, and a test fails when they drift. Unknown keys are refused. Nothing here imports
torch, since Snakemake reads the config each time it plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from derotate.config.block import Block, Seed
from derotate.config.budget import Budget, Further
from derotate.config.evaluation import Evaluation, Landmarks
from derotate.config.matrix_kinds import EDITABLE
from derotate.config.model import PRETRAINED_FORM, TINY_FORM, Model, PretrainedModel, TinyModel
from derotate.config.recipes import check_recipes
from derotate.config.rl import Rl  # fmt: skip
from derotate.config.surgery import Diagnostics, Guards, Surgery
from derotate.config.training import Base, Diverse, Lora, Oracle, Phase, Sft
from derotate.tasks import TASKS, defaults

DEFAULT_TASK: Final = "general_points"
"""Task of a config without the key `task`."""
DEFAULT_STYLE: Final = "compact"
"""Style of a config without the key `style`."""

PHASE_SUITES = (("id", "train"), ("ood", "test"))
"""Split and fold of the suites that the phase diagram shows; OOD selection chooses its peaks."""


class ConfigError(ValueError):
    """An invalid config; the message has one line per wrong key."""


class Config(Block):
    """The config of a study. All its results are written to `results/<study>/`."""

    study: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = Field(
        "demo", description="name of the folder under results/"
    )
    task: Literal[tuple(TASKS)] = Field(  # type: ignore[valid-type]
        DEFAULT_TASK, description="task that is trained and evaluated"
    )
    style: Literal["compact", "natural"] = Field(
        DEFAULT_STYLE,
        description="style of prompts: compact for tiny models, natural for pretrained models",
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        (1,),
        description="seeds of SFT, RL and the order of problems; one run per seed and base seed",
    )
    base_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        (1,), description="seeds of pretraining; one base per seed"
    )
    model: Model = Field(
        default_factory=TinyModel, description="a tiny Llama, or a pretrained model"
    )
    gpu: bool = Field(
        False,
        description="whether training jobs request one GPU per process; with a pretrained model, "
        "evaluation jobs do too; a profile can set the GPU type (slurm/README.md)",
    )
    base: Base = Field(default_factory=Base, description="pretraining of the base")
    sft: Sft = Field(default_factory=Sft, description="supervised fine-tuning")
    lora: Lora = Field(default_factory=Lora, description="arm: SFT with LoRA")
    oracle: Oracle = Field(
        default_factory=Oracle, description="arm: SFT on ID and OOD problems, an oracle"
    )
    diverse: Diverse = Field(
        default_factory=Diverse, description="arm: SFT on prompts whose rule varies"
    )
    phase: Phase = Field(
        default_factory=Phase,
        description="phase diagram: OOD forgetting by SFT learning rate and pretraining steps",
    )
    rl: Rl = Field(default_factory=Rl, description="reinforcement learning")
    landmarks: Landmarks = Field(default_factory=Landmarks, description="named checkpoints")
    surgery: Surgery = Field(default_factory=Surgery, description="surgery on weights")
    diagnostics: Diagnostics = Field(
        default_factory=Diagnostics, description="diagnostics of hidden states and weight changes"
    )
    evaluation: Evaluation = Field(
        default_factory=Evaluation, description="evaluation of checkpoints"
    )
    guards: Guards = Field(
        default_factory=Guards, description="checks of weights before their spectra are used"
    )
    budget: Budget = Field(default_factory=Budget, description="time budget per stage, in minutes")
    also: tuple[Further, ...] = Field(
        (),
        description="further studies, e.g. of other tasks, in the same Snakemake run: a config "
        "file each, and the keys that differ from it",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_task_defaults(cls, values: Any) -> Any:
        """Fill in the keys whose defaults depend on the task, unless the task is invalid."""
        task = values.get("task", DEFAULT_TASK) if isinstance(values, Mapping) else None
        if not isinstance(task, str) or task not in TASKS:
            return values
        return _merged(task_defaults(task, str(values.get("style", DEFAULT_STYLE))), values)

    @model_validator(mode="after")
    def _exists_in_the_task(self) -> Config:
        known = defaults(self.task)
        kinds = self.base.mixture.root
        unknown = [kind for kind in kinds if kind not in known.mixture]
        _require(not unknown, "base.mixture", ", ".join(unknown),
                 f"kinds of samples of {self.task} ({', '.join(known.mixture)})")  # fmt: skip
        total = sum(kinds.values())
        _require(abs(total - 1) < 1e-9, "base.mixture", f"shares that sum to {total:.6g}",
                 "1")  # fmt: skip
        for suite in self.evaluation.suites:
            _require(suite.split in known.splits, "evaluation.suites", f"split {suite.split}",
                     f"a split of {self.task} ({', '.join(known.splits)})")  # fmt: skip
        if self.diverse.steps and not known.varied_prompts:
            varied = ", ".join(task for task in TASKS if defaults(task).varied_prompts)
            _require(False, "diverse.steps", f"{list(self.diverse.steps)} with task {self.task}",
                     f"an empty list, or a task whose prompts can vary ({varied})")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _fits_the_model(self) -> Config:
        if not isinstance(self.model, PretrainedModel):
            _require(self.style == "compact", "style", f"{self.style} with a tiny model",
                     "compact, the style of tiny models, or a model.pretrained")  # fmt: skip
            return self
        beside = "with model.pretrained"
        _require(self.style == "natural", "style", f"{self.style} {beside}",
                 "natural, the language of pretrained models")  # fmt: skip
        default = Base.model_validate(task_defaults(self.task)["base"])
        changed = [key for key in Base.model_fields
                   if getattr(self.base, key) != getattr(default, key)]  # fmt: skip
        _require(not changed, "base", f"{', '.join(changed)} {beside}",
                 "no such block, since no base is pretrained")  # fmt: skip
        _require(self.phase == Phase(), "phase", f"a phase diagram {beside}",
                 "no such block, since no base is pretrained")  # fmt: skip
        _require(len(self.base_seeds) == 1, "base_seeds", f"{list(self.base_seeds)} {beside}",
                 "one seed, since no base is pretrained")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Config:
        steps = self.sft.steps
        known = ", ".join(map(str, steps))
        _require(self.landmarks.sft_end in steps, "landmarks.sft_end", self.landmarks.sft_end,
                 f"a step of sft.segments ({known})")  # fmt: skip
        unknown = sorted(set(self.lora.matrices) - set(EDITABLE))
        _require(not unknown, "lora.matrices", unknown, f"kinds out of {', '.join(EDITABLE)}")
        for run in self.rl.runs:
            for start in run.starts:
                _require(start in steps, "rl.runs.starts", start, f"an SFT step ({known})")
        end = self.landmarks.rl_end
        runs = {(run.algorithm, start) for run in self.rl.runs for start in run.starts}
        ends = not runs or (end.algorithm, end.start) in runs
        got = f"{end.algorithm} from {end.start}"
        _require(ends, "landmarks.rl_end", got, "an algorithm and start of rl.runs")
        names = [recipe.name for recipe in self.surgery.recipes]
        check_recipes(self.surgery.recipes)
        for name in self.surgery.reverse:
            _require(name in names, "surgery.reverse", name, f"a recipe ({', '.join(names)})")
        for recipe in self.surgery.recipes:
            # The sizes of a pretrained model may be unknown here; `resources.stages.require_size`
            # checks again.
            layers = self.model.layers or float("inf")
            outside = [layer for layer in recipe.layers or () if layer >= layers]
            _require(not outside, f"surgery.recipes[{recipe.name}].layers", outside,
                     f"layers below {layers}")  # fmt: skip
        suites = {(suite.split, suite.fold) for suite in self.evaluation.suites}
        _require(("ood", "selection") in suites, "evaluation.suites", "no ood selection",
                 "a suite of split ood and fold selection, which chooses max_ood")  # fmt: skip
        for pair in PHASE_SUITES if self.phase.steps else ():
            _require(pair in suites, "evaluation.suites", f"no {' '.join(pair)}",
                     "a suite of that split and fold, which the phase diagram shows")  # fmt: skip
        for pair in self.evaluation.sampled:
            _require(pair in suites, "evaluation.sampled", list(pair), "a suite")
        return self


def task_defaults(task: str, style: str = DEFAULT_STYLE) -> dict[str, Any]:
    """The keys whose defaults depend on the task, as in a config file."""
    known = defaults(task)
    natural = style == "natural"
    limit = known.natural_max_new_tokens if natural else known.max_new_tokens
    return {
        "base": {"mixture": {kind: share for kind, (share, _) in known.mixture.items()}},
        "evaluation": {"suites": known.suites, "max_new_tokens": limit},
    }


def mixture_descriptions(task: str) -> dict[str, str]:
    """Kind of pretraining sample -> its description."""
    return {kind: description for kind, (_, description) in defaults(task).mixture.items()}


def _merged(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults overridden by values, block by block."""
    merged = dict(defaults)
    for key, value in values.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        raise ValueError(f"{key}: got {value}, expected {expected}; correct it in the config file")


def load(values: Mapping[str, Any]) -> Config:
    """The validated config of a mapping.

    Raises:
        ConfigError: one line per wrong key: the key, its value, what was expected.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        items = error.errors()
        # pydantic also reports a list whose only item is wrong as too short; one line is enough.
        parents = {item["loc"][:-1] for item in items}
        reported = [
            item for item in items if item["type"] != "too_short" or item["loc"] not in parents
        ]
        raise ConfigError("\n".join(map(_line, reported))) from None


def read(file: Path | None) -> Config:
    """The validated config of a file; the default config without a file.

    Raises:
        ConfigError: not YAML, no mapping, or wrong keys.
        OSError: the file cannot be read.
    """
    return load({} if file is None else _values(file))


def further(config: Config) -> dict[str, Config]:
    """The studies of `also`, by study name with underscores, as in rule names.

    Raises:
        ConfigError: a file that is no config, a duplicate study name, or a nested `also`.
    """
    found: dict[str, Config] = {}
    studies = {config.study}
    for item in config.also:
        try:
            other = load(_merged(_values(Path(item.file)), item.model_extra or {}))
        except OSError as error:
            raise ConfigError(
                f"also: got {item.file} ({error.strerror}), expected a config file; correct "
                "the path"
            ) from None
        except ConfigError as error:
            lines = str(error).splitlines()
            raise ConfigError("\n".join(f"also: {item.file}: {line}" for line in lines)) from None
        if other.study in studies:
            raise ConfigError(
                f"also: {item.file}: study: got {other.study}, expected another name than "
                f"{', '.join(sorted(studies))}; set study in its entry of also"
            )
        if other.also:
            raise ConfigError(
                f"also: {item.file}: also: got a list, expected none, since also cannot be "
                "nested; list all studies in the first file"
            )
        studies.add(other.study)
        found[other.study.replace("-", "_")] = other
    return found


def _values(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected keys with values, got {values!r}")
    return values


def _line(item: Any) -> str:
    # pydantic puts the tag of the union `model` into the path, as if it were a key.
    parts = [part for part in item["loc"] if part not in (TINY_FORM, PRETRAINED_FORM)]
    key = ".".join(map(str, parts))
    if item["type"] == "extra_forbidden":
        return f"config: unknown key {key}; config/demo.yaml lists the keys"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"config: {key + ': ' if key else ''}{message}"
    return f"config: {key}: got {item['input']!r}, {message[0].lower()}{message[1:]}"
