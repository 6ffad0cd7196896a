# SPDX-License-Identifier: MIT
"""What a study is made of, in names and paths: pure functions of the config, quick to call.

A checkpoint has a label (`base`, `sft-100`, `rl-grpo-500-30`), and every file of a run follows from
its seeds and labels. Snakemake's rules use the patterns, aggregates and the command line the lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from derotate.config.schema import Config
from derotate.study.arms import ARMS, arm_steps

LABEL = rf"base|(?:sft|{'|'.join(ARMS)})-\d+|rl-(?:grpo|ppo|shuffled)-\d+-\d+"
"""Pattern of checkpoint labels."""


@dataclass(frozen=True)
class Run:
    """One base seed and one seed of a study."""

    base_seed: int
    seed: int


@dataclass(frozen=True)
class Paths:
    """Folders of a study; `{base_seed}` and `{seed}` stay wildcards where a run is not given."""

    study: str
    task: str
    base: str
    run: str

    @classmethod
    def of(cls, config: Config, run: Run | None = None) -> Paths:
        """Folders of one run, or with wildcards for Snakemake's patterns."""
        study = f"results/{config.study}"
        task = f"{study}/{config.task}"
        base = f"{task}/base-{run.base_seed if run else '{base_seed}'}"
        return cls(study, task, base, f"{base}/seed-{run.seed if run else '{seed}'}")

    def checkpoint(self, label: str) -> str:
        """Directory of the checkpoint with that label.

        Raises:
            ValueError: not a label.
        """
        if not re.fullmatch(LABEL, label):
            steps = ", ".join(f"{arm}-STEP" for arm in ("sft", *ARMS))
            raise ValueError(f"checkpoint {label}: expected base, {steps} or rl-ALGO-START-STEP")
        match label.split("-"):
            case ["base"]:
                return f"{self.base}/base"
            case [arm, step]:
                return f"{self.run}/{arm}/step-{step}"
            case [_, algorithm, start, step]:
                return f"{self.run}/rl/{algorithm}/from-{start}/step-{step}"
            case _:
                raise AssertionError(label)

    def weights(self, label: str) -> str:
        """The weights file of a checkpoint."""
        return f"{self.checkpoint(label)}/model.safetensors"

    def factors(self, label: str) -> str:
        """The cached singular value decompositions of a checkpoint."""
        return f"{self.base if label == 'base' else self.run}/factors/{label}.safetensors"

    def evaluation(self, label: str) -> str:
        """The evaluation of a checkpoint."""
        return f"{self.base if label == 'base' else self.run}/evaluations/{label}.parquet"

    def surgery(self, donor: str, patient: str, recipe: str) -> str:
        """The evaluation of a surgery variant; the variant itself is never written."""
        return f"{self.run}/evaluations/surgery/from-{donor}-into-{patient}/{recipe}.parquet"

    def spectra(self, donor: str, patient: str) -> str:
        """The spectral table of a pair."""
        return f"{self.run}/spectra/from-{donor}-to-{patient}.parquet"

    def diagnostics(self, kind: str, peak: str, patient: str, healed: str) -> str:
        """The diagnostics of a kind, states or weights, of three checkpoints and the base."""
        return f"{self.run}/diagnostics/{kind}-from-{peak}-to-{patient}-to-{healed}.parquet"


def runs(config: Config) -> list[Run]:
    """All runs: every base seed with every seed."""
    return [Run(base, seed) for base, seed in product(config.base_seeds, config.seeds)]


def rl_label(config: Config, algorithm: str, start: int) -> str:
    """Label of an RL run's last checkpoint."""
    settings = config.rl.ppo if algorithm == "ppo" else config.rl.grpo
    return f"rl-{algorithm}-{start}-{settings.updates}"


def rl_starts(config: Config) -> list[tuple[str, int]]:
    """Algorithm and start of every RL run."""
    return [(run.algorithm, start) for run in config.rl.runs for start in run.starts]


def trained_labels(config: Config, *, rl: bool = True) -> list[str]:
    """Labels of all evaluated checkpoints of a run, the base first."""
    labels = ["base", *(f"sft-{step}" for step in config.sft.steps)]
    if rl:
        labels += [rl_label(config, *pair) for pair in rl_starts(config)]
    return labels


def arm_labels(config: Config) -> list[str]:
    """Labels of the checkpoints of the arms beside SFT; none where the study has no arm."""
    return [f"{arm}-{step}" for arm, steps in arm_steps(config).items() for step in steps]


def stage_labels(config: Config, max_ood: int) -> dict[str, str]:
    """Labels of the landmarks, once the step of `max_ood` is known; no `rl_end` without RL."""
    labels = {
        "base": "base",
        "max_ood": f"sft-{max_ood}",
        "sft_end": f"sft-{config.landmarks.sft_end}",
    }
    if config.rl.runs:
        end = config.landmarks.rl_end
        labels["rl_end"] = rl_label(config, end.algorithm, end.start)
    return labels


@dataclass(frozen=True)
class Variant:
    """One cell of surgery: a recipe from a donor into a patient."""

    donor: str
    patient: str
    recipe: str
    direction: str


def variants(config: Config, max_ood: int) -> Iterator[Variant]:
    """All surgery cells of a run, once the step of `max_ood` is known."""
    labels = stage_labels(config, max_ood)
    for recipe in config.surgery.recipes:
        yield Variant(labels["max_ood"], labels["sft_end"], recipe.name, "forward")
    if "rl_end" in labels:
        for name in config.surgery.reverse:
            yield Variant(labels["sft_end"], labels["rl_end"], name, "reverse")


def spectral_pairs(config: Config, max_ood: int) -> list[tuple[str, str]]:
    """Pairs of checkpoints whose spectra are compared: from the base, and between landmarks."""
    labels = stage_labels(config, max_ood)
    pairs = [("base", labels["max_ood"]), ("base", labels["sft_end"])]
    pairs += [(labels["max_ood"], labels["sft_end"])]
    if "rl_end" in labels:
        pairs += [(labels["max_ood"], labels["rl_end"]), (labels["sft_end"], labels["rl_end"])]
    return list(dict.fromkeys((a, b) for a, b in pairs if a != b))


def diagnosed(config: Config, max_ood: int) -> list[tuple[str, str, str]]:
    """Peak, end of SFT and end of RL of a run, to be diagnosed; none without diagnostics or RL."""
    labels = stage_labels(config, max_ood)
    if not config.diagnostics.prompts or "rl_end" not in labels:
        return []
    return [(labels["max_ood"], labels["sft_end"], labels["rl_end"])]


def cell(label: str) -> dict[str, Any]:
    """The columns that a checkpoint's label stands for in the table of all evaluations."""
    columns: dict[str, Any] = {"stage": label, "algorithm": "", "start": None, "step": None}
    match label.split("-"):
        case [arm, step]:
            columns |= {"stage": arm, "step": int(step)}
        case ["rl", algorithm, start, step]:
            columns |= {"stage": "rl", "algorithm": algorithm}
            columns |= {"start": int(start), "step": int(step)}
    return columns


def folder(path: str) -> Path:
    """The folder of a file."""
    return Path(path).parent


def recipe_named(config: Config, name: str) -> Mapping[str, Any]:
    """The recipe's settings and those of the recipe it is matched to: what its job depends on."""
    by_name = {recipe.name: recipe for recipe in config.surgery.recipes}
    recipe = by_name[name]
    matched = by_name[recipe.reference[1]] if recipe.reference else None
    return {
        "recipe": recipe.model_dump(exclude_defaults=True),
        "matched": matched.model_dump(exclude_defaults=True) if matched else None,
    }


_EVALUATION = re.compile(
    r".*/base-(?P<base_seed>\d+)/(?:seed-(?P<seed>\d+)/)?evaluations/"
    r"(?:surgery/from-(?P<donor>[a-z0-9-]+)-into-(?P<patient>[a-z0-9-]+)/(?P<recipe>[^/]+)"
    r"|(?P<label>[a-z0-9-]+))\.parquet"
)


def cell_of(path: str) -> dict[str, Any]:
    """What an evaluation is of, from its path: the columns that go before its rows.

    Raises:
        ValueError: the path is not that of an evaluation.
    """
    found = _EVALUATION.fullmatch(path)
    if found is None:
        raise ValueError(f"{path}: not the path of an evaluation of a study")
    columns: dict[str, Any] = {
        "base_seed": int(found["base_seed"]),
        "seed": int(found["seed"]) if found["seed"] else None,
        **cell(found["label"] or "surgery"),
        "donor": None,
        "patient": found["patient"] or "",
        "recipe": found["recipe"] or "",
        "direction": "",
    }
    if found["recipe"]:
        donor = found["donor"].split("-")
        columns["donor"] = int(donor[1]) if donor[0] == "sft" else None
        columns["direction"] = "reverse" if found["patient"].startswith("rl-") else "forward"
    return columns
