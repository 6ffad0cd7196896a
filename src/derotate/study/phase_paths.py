# SPDX-License-Identifier: MIT
"""Names and paths of the phase diagram: SFT at several learning rates from several bases.

Pure functions of the config, like `study.paths` for the study itself. All files of the diagram are
in a folder `phase` of the base or of the run that they belong to:

    base-1/phase/pretrained-400/                            a base of 400 pretraining steps
    base-1/seed-11/phase/pretrained-400/rate-0.0003/        an SFT run from it

A base with `base.steps` pretraining steps is the study's own base, at its usual path.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from derotate.config.schema import Config
from derotate.study.paths import Paths, runs

RATE = r"[0-9][0-9.e-]*"
"""Pattern of a learning rate in a path."""


def rate_name(learning_rate: float) -> str:
    """A learning rate as written in paths: 0.0003, 1e-05."""
    return f"{learning_rate:g}"


def base_folder(base: str, steps: int | str) -> str:
    """Folder of a base of that many pretraining steps; `base` is the folder of its seed."""
    return f"{base}/phase/pretrained-{steps}"


def run_folder(run: str, steps: int | str, rate: str) -> str:
    """Folder of the SFT run at a rate from the base of that many steps; `run` is its seed's."""
    return f"{run}/phase/pretrained-{steps}/rate-{rate}"


def table(paths: Paths) -> str:
    """The table of the diagram."""
    return f"{paths.study}/tables/phase.csv"


def base_weights(config: Config, paths: Paths, steps: int) -> str:
    """The weights of the base of that many pretraining steps."""
    if steps == config.base.steps:
        return paths.weights("base")
    return f"{base_folder(paths.base, steps)}/model.safetensors"


def base_evaluation(config: Config, paths: Paths, steps: int) -> str:
    """The evaluation of the base of that many pretraining steps."""
    if steps == config.base.steps:
        return paths.evaluation("base")
    return f"{base_folder(paths.base, steps)}/evaluation.parquet"


def evaluations(config: Config) -> dict[str, dict[str, Any]]:
    """Path -> cell of all evaluations of the diagram, each base once; empty if it is disabled.

    A cell has base_seed, seed, base_steps, learning_rate and step; those of a base have no seed,
    no learning rate and step 0.
    """
    grid = config.phase
    found: dict[str, dict[str, Any]] = {}
    for run, steps in product(runs(config), grid.base_steps):
        paths = Paths.of(config, run)
        base: dict[str, Any] = {
            "base_seed": run.base_seed,
            "seed": None,
            "base_steps": steps,
            "learning_rate": None,
            "step": 0,
        }
        found[base_evaluation(config, paths, steps)] = base
        for rate, step in product(grid.learning_rates, grid.steps):
            folder = run_folder(paths.run, steps, rate_name(rate))
            cell = {"seed": run.seed, "learning_rate": rate, "step": step}
            found[f"{folder}/evaluations/step-{step}.parquet"] = {**base, **cell}
    return found
