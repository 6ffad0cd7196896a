# SPDX-License-Identifier: MIT
"""A pair on disk: donor, patient and RL checkpoint of one run, with its problems and tables.

config.yaml       the config of its study
donor/ patient/   Hugging Face model directories in bfloat16; rl/ too, if the study has RL
problems.csv      the problems of the live evaluation
evaluations.csv   results of the shipped checkpoints on them, from the export
tables/           the study's tables for this run, reduced to what its figures need
README.md         origin, and the error of the cast to bfloat16
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from derotate.config.recipes import Recipe
from derotate.config.schema import Config
from derotate.study import record

TABLES = (
    *("accuracy_by_step", "stages", "contrasts", "surgery", "surgery_edits"),
    *("spectra_by_index", "landmarks"),
)
SUITES = (("id", "train"), ("ood", "test"))
"""Suites of the live evaluation: problems of SFT, and test problems out of distribution."""


class PairError(ValueError):
    """An invalid pair or option; the message is one line."""


@dataclass(frozen=True)
class Pair:
    """Two checkpoints of one architecture, and the problems of their evaluation."""

    donor: Path
    patient: Path
    problems: Path
    config: Config

    @property
    def sides(self) -> dict[str, Path]:
        """The checkpoints by role."""
        return {"donor": self.donor, "patient": self.patient}


def read(folder: Path) -> Pair:
    """The pair in a folder.

    Raises:
        PairError: the folder holds no pair.
        ConfigError: its config is from another version of derotate.
    """
    missing = [name for name in (record.FILE, "problems.csv", "donor", "patient")
               if not (folder / name).exists()]  # fmt: skip
    if missing:
        raise PairError(
            f"{folder}: no {missing[0]}, expected a pair; export one from a finished study with "
            "`derotate explore-export results/demo FOLDER`"
        )
    parts = folder / "donor", folder / "patient", folder / "problems.csv"
    return Pair(*parts, record.read(folder))


def recorded(folder: Path) -> pd.DataFrame:
    """Results of the shipped checkpoints: `checkpoint` (a role) and columns of evaluations."""
    return pd.read_csv(folder / "evaluations.csv")


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The study's tables for this run, by name."""
    return {
        name: pd.read_csv(folder / "tables" / f"{name}.csv", dtype={"seed": str}).fillna(
            {"algorithm": ""}
        )
        for name in TABLES
    }


def recipe_named(pair: Pair, name: str) -> Recipe:
    """A recipe of the pair's study that needs no other checkpoint than donor and patient.

    Raises:
        PairError: no such recipe.
    """
    usable = {
        recipe.name: recipe
        for recipe in pair.config.surgery.recipes
        if recipe.reference is None and recipe.donor == "landmark"
    }
    if name not in usable:
        raise PairError(f"--recipe: got {name}, expected one of {', '.join(usable)}; correct it")
    return usable[name]
