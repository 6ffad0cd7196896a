# SPDX-License-Identifier: MIT
"""What a pair is on disk: donor, patient and RL result of one run, with its problems and tables.

config.yaml       the config of the study that it was taken from
donor/ patient/   Hugging Face model directories in bfloat16; rl/ too, if the study has RL
problems.csv      the problems that are answered live
evaluations.csv   how the shipped checkpoints answered them when they were exported
tables/           the study's tables for this run, as small as its figures need
README.md         where all this comes from and what the cast to bfloat16 lost
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from derotate.config.recipes import Recipe
from derotate.config.schema import Config
from derotate.study import record

TABLES = ("accuracy_by_step", "stages", "contrasts", "surgery", "spectra_by_index", "landmarks")
SUITES = (("id", "train"), ("ood", "test"))
"""What is answered live: problems that SFT learned, and those of the rule that it never saw."""


class PairError(ValueError):
    """A pair that cannot be looked at; one line with what was expected."""


@dataclass(frozen=True)
class Pair:
    """Two checkpoints of one architecture, and the problems that they answer."""

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
        PairError: the folder holds none.
        ConfigError: its config is of another version of derotate.
    """
    missing = [name for name in (record.FILE, "problems.csv", "donor", "patient")
               if not (folder / name).exists()]  # fmt: skip
    if missing:
        raise PairError(
            f"{folder}: no {missing[0]}, expected a pair; make one from a finished study by "
            "`derotate explore-export results/demo FOLDER`"
        )
    parts = folder / "donor", folder / "patient", folder / "problems.csv"
    return Pair(*parts, record.read(folder))


def recorded(folder: Path) -> pd.DataFrame:
    """How the shipped checkpoints answered: checkpoint (a role) and the columns of evaluations."""
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
    """A recipe of the pair's study that donor and patient suffice for.

    Raises:
        PairError: there is no such recipe, or it needs more than the two.
    """
    fit = {
        recipe.name: recipe
        for recipe in pair.config.surgery.recipes
        if recipe.reference is None and recipe.donor == "landmark"
    }
    if name not in fit:
        raise PairError(f"--recipe: got {name}, expected one of {', '.join(fit)}")
    return fit[name]
