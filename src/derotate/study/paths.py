# SPDX-License-Identifier: MIT
"""Names and paths of a study: pure functions of the config, quick to call.

A checkpoint has a label (`base`, `sft-100`, `rl-grpo-500-30`), and every file of a run follows from
its seeds and labels. Snakemake's rules use the patterns, aggregates and the command line the lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from derotate.config.schema import Config
from derotate.study.arms import arm_steps
from derotate.study.checkpoint import Checkpoint
from derotate.study.rl_algorithms import RL_ALGORITHMS

UNKNOWN_PEAK: Final = 0
"""Placeholder for the step of `max_ood` before the landmarks exist; no checkpoint has it."""


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
        return Checkpoint.parse(label).directory(self.base, self.run)

    def weights(self, label: str) -> str:
        """The weights file of a checkpoint."""
        return f"{self.checkpoint(label)}/model.safetensors"

    def factors(self, label: str) -> str:
        """The cached singular value decompositions of a checkpoint."""
        return f"{self.base if label == 'base' else self.run}/factors/{label}.safetensors"

    @property
    def landmarks(self) -> str:
        """The landmarks of a run."""
        return f"{self.run}/landmarks.json"

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


def rl_end(config: Config) -> Checkpoint | None:
    """The landmark rl_end, which is the same for all runs; None in a study without RL."""
    end = config.landmarks.rl_end
    return rl_checkpoint(config, end.algorithm, end.start) if config.rl.runs else None


def rl_checkpoint(config: Config, algorithm: str, start: int) -> Checkpoint:
    """The last checkpoint of an RL run."""
    settings = getattr(config.rl, RL_ALGORITHMS[algorithm].settings)
    return Checkpoint.rl(algorithm, start, settings.updates)


def rl_starts(config: Config) -> list[tuple[str, int]]:
    """Algorithm and start of every RL run."""
    return [(run.algorithm, start) for run in config.rl.runs for start in run.starts]


def trained_labels(config: Config, *, rl: bool = True) -> list[str]:
    """Labels of all evaluated checkpoints of a run, the base first."""
    labels = ["base", *(Checkpoint.sft(step).label for step in config.sft.steps)]
    if rl:
        labels += [rl_checkpoint(config, *pair).label for pair in rl_starts(config)]
    return labels


def arm_labels(config: Config) -> list[str]:
    """Labels of the checkpoints of the arms beside SFT; none where the study has no arm."""
    return [
        Checkpoint(arm, step).label for arm, steps in arm_steps(config).items() for step in steps
    ]


def stage_labels(config: Config, max_ood: int) -> dict[str, str]:
    """Labels of the landmarks, once the step of `max_ood` is known; no `rl_end` without RL."""
    labels = {
        "base": "base",
        "max_ood": Checkpoint.sft(max_ood).label,
        "sft_end": Checkpoint.sft(config.landmarks.sft_end).label,
    }
    if end := rl_end(config):
        labels["rl_end"] = end.label
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
    """Peak, end of SFT and end of RL of a run for diagnostics; none without diagnostics or RL."""
    labels = stage_labels(config, max_ood)
    if not config.diagnostics.prompts or "rl_end" not in labels:
        return []
    return [(labels["max_ood"], labels["sft_end"], labels["rl_end"])]


def surgery_files(config: Config, paths: Paths, max_ood: int) -> list[str]:
    """Evaluations of all surgery cells of a run."""
    cells = variants(config, max_ood)
    return [paths.surgery(cell.donor, cell.patient, cell.recipe) for cell in cells]


def spectra_files(config: Config, paths: Paths, max_ood: int) -> list[str]:
    """Spectral tables of all pairs of a run."""
    return [paths.spectra(*pair) for pair in spectral_pairs(config, max_ood)]


def diagnostics_files(
    config: Config, paths: Paths, max_ood: int, kinds: Sequence[str] = ("states", "weights")
) -> list[str]:
    """Diagnostics of a run, of some kinds."""
    labels = diagnosed(config, max_ood)
    return [paths.diagnostics(kind, *names) for kind in kinds for names in labels]


def files_after_landmarks(config: Config, paths: Paths, max_ood: int) -> list[str]:
    """All files of a run that are requested once its landmarks are known."""
    return [
        *surgery_files(config, paths, max_ood),
        *spectra_files(config, paths, max_ood),
        *diagnostics_files(config, paths, max_ood),
    ]


def recipe_named(config: Config, name: str) -> Mapping[str, Any]:
    """The recipe's settings and those of the recipe it is matched to: what its job depends on."""
    by_name = {recipe.name: recipe for recipe in config.surgery.recipes}
    recipe = by_name[name]
    matched = by_name[recipe.reference[1]] if recipe.reference else None
    return {
        "recipe": recipe.model_dump(exclude_defaults=True),
        "matched": matched.model_dump(exclude_defaults=True) if matched else None,
    }
