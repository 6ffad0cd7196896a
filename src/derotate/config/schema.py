# SPDX-License-Identifier: MIT
"""The typed config of a study.

One pydantic model per block, in `derotate.config`. Descriptions and defaults live there and here,
and nowhere else: the documented default file (`config/demo.yaml`) and the JSON schema are generated
from them by `derotate config`, and a test fails when they drift. Unknown keys are refused. Nothing
here imports torch, since the config is read each time Snakemake plans.
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
"""The task of a study that names none: that of the demo."""
DEFAULT_STYLE: Final = "compact"
"""The style of a study that names none."""

PHASE_SUITES = (("id", "train"), ("ood", "test"))
"""What the phase diagram shows, as split and fold, besides the suite that chooses its peaks."""


class ConfigError(ValueError):
    """A config that cannot be run; the message is one line for each wrong key."""


class Config(Block):
    """A study: one config file. All that it makes lives under `results/<study>/`."""

    study: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = Field(
        "demo", description="name of the folder under results/"
    )
    task: Literal[tuple(TASKS)] = Field(  # type: ignore[valid-type]
        DEFAULT_TASK, description="which task is trained and evaluated"
    )
    style: Literal["compact", "natural"] = Field(
        DEFAULT_STYLE, description="prompt: compact for tiny models, natural for pretrained ones"
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        (1,), description="each moves SFT, RL and the order of problems"
    )
    base_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        (1,), description="each trains a base of its own"
    )
    model: Model = Field(
        default_factory=TinyModel, description="the tiny Llama, or a pretrained model"
    )
    gpu: bool = Field(
        False,
        description="whether jobs that train, and with a pretrained model those that score, ask "
        "for a GPU for each of their processes; a profile can name its kind (slurm/README.md)",
    )
    base: Base = Field(default_factory=Base, description="pretraining of the base")
    sft: Sft = Field(default_factory=Sft, description="supervised fine-tuning")
    lora: Lora = Field(default_factory=Lora, description="SFT by LoRA, an arm beside SFT")
    oracle: Oracle = Field(
        default_factory=Oracle, description="SFT on ID and OOD problems, an arm beside SFT"
    )
    diverse: Diverse = Field(
        default_factory=Diverse, description="SFT on prompts whose rule varies, an arm beside SFT"
    )
    phase: Phase = Field(
        default_factory=Phase, description="OOD lost by learning rate and strength of the base"
    )
    rl: Rl = Field(default_factory=Rl, description="reinforcement learning")
    landmarks: Landmarks = Field(default_factory=Landmarks, description="named checkpoints")
    surgery: Surgery = Field(default_factory=Surgery, description="edits of weights")
    diagnostics: Diagnostics = Field(
        default_factory=Diagnostics, description="hidden states and changes of weights"
    )
    evaluation: Evaluation = Field(default_factory=Evaluation, description="scoring")
    guards: Guards = Field(default_factory=Guards, description="checks before spectra")
    budget: Budget = Field(default_factory=Budget, description="minutes by stage")
    also: tuple[Further, ...] = Field(
        (),
        description="further studies, of other tasks say, made by the same run: a config file "
        "each, and keys that differ from it",
    )

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, values: Any) -> Any:
        """With the keys whose defaults are the task's; a wrong task is told by its own key."""
        task = values.get("task", DEFAULT_TASK) if isinstance(values, Mapping) else None
        if not isinstance(task, str) or task not in TASKS:
            return values
        return _over(task_defaults(task, str(values.get("style", DEFAULT_STYLE))), values)

    @model_validator(mode="after")
    def _task_has_them(self) -> Config:
        known = defaults(self.task)
        kinds = self.base.mixture.root
        strange = [kind for kind in kinds if kind not in known.mixture]
        _require(not strange, "base.mixture", ", ".join(strange),
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
                     f"no steps, or a task whose prompts can vary ({varied})")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _suits_the_model(self) -> Config:
        if not isinstance(self.model, PretrainedModel):
            _require(self.style == "compact", "style", f"{self.style} with a tiny model",
                     "compact, whose words it is trained on, or a model.pretrained")  # fmt: skip
            return self
        beside = "with model.pretrained"
        _require(self.style == "natural", "style", f"{self.style} {beside}",
                 "natural, the language that such models know")  # fmt: skip
        untouched = Base.model_validate(task_defaults(self.task)["base"])
        changed = [key for key in Base.model_fields
                   if getattr(self.base, key) != getattr(untouched, key)]  # fmt: skip
        _require(not changed, "base", f"{', '.join(changed)} {beside}",
                 "no such block, since no base is trained")  # fmt: skip
        _require(self.phase == Phase(), "phase", f"a grid {beside}",
                 "no such block, since no base is trained")  # fmt: skip
        _require(len(self.base_seeds) == 1, "base_seeds", f"{list(self.base_seeds)} {beside}",
                 "one, since no base is trained and all would be the same")  # fmt: skip
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
            # a pretrained model may tell no sizes here; `stage_resources.require_size` looks again
            layers = self.model.layers or float("inf")
            outside = [layer for layer in recipe.layers or () if layer >= layers]
            _require(not outside, f"surgery.recipes[{recipe.name}].layers", outside,
                     f"layers below {layers}")  # fmt: skip
        suites = {(suite.split, suite.fold) for suite in self.evaluation.suites}
        _require(("ood", "selection") in suites, "evaluation.suites", "no ood selection",
                 "a suite of split ood and fold selection, since it chooses max_ood")  # fmt: skip
        for pair in PHASE_SUITES if self.phase.steps else ():
            _require(pair in suites, "evaluation.suites", f"no {' '.join(pair)}",
                     "a suite of that split and fold, which the phase diagram shows")  # fmt: skip
        for pair in self.evaluation.sampled:
            _require(pair in suites, "evaluation.sampled", list(pair), "a suite")
        return self


def task_defaults(task: str, style: str = DEFAULT_STYLE) -> dict[str, Any]:
    """The keys of a config whose defaults are those of the task, as a config file has them."""
    known = defaults(task)
    natural = style == "natural"
    limit = known.natural_max_new_tokens if natural else known.max_new_tokens
    return {
        "base": {"mixture": {kind: share for kind, (share, _) in known.mixture.items()}},
        "evaluation": {"suites": known.suites, "max_new_tokens": limit},
    }


def kinds_of_samples(task: str) -> dict[str, str]:
    """Kind of pretraining sample -> what it is."""
    return {kind: what for kind, (_, what) in defaults(task).mixture.items()}


def _over(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values, block by block, and the defaults of the keys that they leave out."""
    filled = dict(defaults)
    for key, value in given.items():
        nested = isinstance(value, Mapping) and isinstance(filled.get(key), Mapping)
        filled[key] = _over(filled[key], value) if nested else value
    return filled


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        raise ValueError(f"{key}: got {value}, expected {expected}; correct it in the config file")


def load(values: Mapping[str, Any]) -> Config:
    """The study of a config mapping.

    Raises:
        ConfigError: one line for each wrong key: the key, its value, what was expected.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        items = error.errors()
        # A list whose only item is wrong is also called too short; the item's own line is enough.
        places = {item["loc"][:-1] for item in items}
        told = [item for item in items if item["type"] != "too_short" or item["loc"] not in places]
        raise ConfigError("\n".join(map(_line, told))) from None


def read(file: Path | None) -> Config:
    """The study of a config file; without one, that of the defaults.

    Raises:
        ConfigError: not YAML, no mapping, or wrong keys.
        OSError: it cannot be read.
    """
    return load({} if file is None else _values(file))


def further(config: Config) -> dict[str, Config]:
    """The studies of `also`, by a name that a rule can have: that of the study with underscores.

    Raises:
        ConfigError: a file that is no config, a study named twice, or one with its own `also`.
    """
    found: dict[str, Config] = {}
    studies = {config.study}
    for item in config.also:
        try:
            other = load(_over(_values(Path(item.file)), item.model_extra or {}))
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
                f"also: {item.file}: study: got {other.study}, expected another name than those of "
                f"the studies beside it ({', '.join(sorted(studies))}), since each has its folder"
            )
        if other.also:
            raise ConfigError(
                f"also: {item.file}: also: got a list, expected none; name all studies in one file"
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
    # pydantic puts the form of `model` into the path, as if it were a key
    parts = [part for part in item["loc"] if part not in (TINY_FORM, PRETRAINED_FORM)]
    key = ".".join(map(str, parts))
    if item["type"] == "extra_forbidden":
        return f"config: unknown key {key}; see config/README.md for the keys there are"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"config: {key + ': ' if key else ''}{message}"
    return f"config: {key}: got {item['input']!r}, {message[0].lower()}{message[1:]}"
