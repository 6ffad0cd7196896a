# SPDX-License-Identifier: MIT
"""The numbers at the top of the findings page: size of the study, main effects, power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate.analysis.select_rows import POOLED
from derotate.claims.cells import MissingCells, Tables, study_runs
from derotate.report.estimates import Estimate, Missing, contrast
from derotate.report.format import count, number
from derotate.report.sources import Sources

_SUITES: Final = (
    ("ood", "test", "OOD test problems"),
    ("id", "test", "ID test problems"),
    ("id", "train", "ID training problems"),
)
_FORWARD: Final = {"direction": "forward"}


@dataclass(frozen=True)
class Suite:
    """Problems that each run answers: how many, what kind, in how many number sets."""

    problems: str
    name: str
    clusters: str


@dataclass(frozen=True)
class Study:
    """What the study consists of.

    Attributes:
        name: of the study.
        seeds: seeds by base.
        suites: problems that each run answers; empty if that is not known.
        missing: the tables that are missing for this.
    """

    name: str
    seeds: dict[int, list[int]]
    suites: tuple[Suite, ...]
    missing: str

    @property
    def runs(self) -> int:
        """Number of runs."""
        return sum(map(len, self.seeds.values()))

    @property
    def shared_seeds(self) -> list[int]:
        """The seeds of every base, if all bases have the same; else empty."""
        first, *others = self.seeds.values()
        return first if all(own == first for own in others) else []


def study(sources: Sources) -> Study:
    """Runs, bases, seeds and problems that the study really has."""
    try:
        runs = study_runs(sources.tables)
    except MissingCells as error:
        return Study(sources.study, {}, (), str(error))
    seeds = {int(base): list(own["seed"]) for base, own in runs.groupby("base_seed")}
    return Study(sources.study, seeds, _suites(sources.tables), "")


def _suites(tables: Tables) -> tuple[Suite, ...]:
    stages = tables.get("stages")
    if stages is None:
        return ()
    own = stages[(stages["seed"] != POOLED) & (stages["landmark"] != "base")]
    suites = (
        (own[(own["split"] == split) & (own["fold"] == fold)], name)
        for split, fold, name in _SUITES
    )
    return tuple(
        Suite(count(rows["n"].min()), name, count(rows["clusters"].min()))
        for rows, name in suites
        if len(rows)
    )


@dataclass(frozen=True)
class Headline:
    """The contrasts that the short answer is about.

    All are on OOD test problems, except `id_rise` and the ones that end in `_id` (ID problems that
    SFT trains on) and `rl_gain_trained` (the problems that RL trains on).
    """

    peak_over_base: Estimate | Missing
    forgot: Estimate | Missing
    id_rise: Estimate | Missing
    diverse_over_sft: Estimate | Missing
    rl_gain: Estimate | Missing
    rl_gain_trained: Estimate | Missing
    directions: Estimate | Missing
    values: Estimate | Missing
    directions_over_rollback: Estimate | Missing
    directions_id: Estimate | Missing
    aligned: Estimate | Missing
    aligned_id: Estimate | Missing


def headline(tables: Tables) -> Headline:
    """Contrasts over runs: forgetting, RL, and the edits that the papers and practice point to."""
    trained = {"split": "id", "fold": "train"}
    directions, values, aligned = (
        {**_FORWARD, "treatment": f"{part}-top20"} for part in ("directions", "values", "aligned")
    )
    return Headline(
        peak_over_base=contrast(tables, "peak_over_base"),
        forgot=contrast(tables, "forgot"),
        id_rise=contrast(tables, "id_rise", **trained),
        diverse_over_sft=contrast(tables, "arm_over_sft_end", treatment="diverse"),
        rl_gain=contrast(tables, "rl_gain"),
        rl_gain_trained=contrast(tables, "rl_gain", split="id", fold="rl"),
        directions=contrast(tables, "over_patient", **directions),
        values=contrast(tables, "over_patient", **values),
        directions_over_rollback=contrast(tables, "over_rollback", **directions),
        directions_id=contrast(tables, "over_patient", **trained, **directions),
        aligned=contrast(tables, "over_patient", **aligned),
        aligned_id=contrast(tables, "over_patient", **trained, **aligned),
    )


@dataclass(frozen=True)
class Power:
    """The primary claims: how many there are and are decided, and their minimum detectable effects.

    `smallest` and `largest` are in points; both are empty if no primary claim has one.
    """

    claims: int
    decided: int
    smallest: str = ""
    largest: str = ""


def power(verdicts: pd.DataFrame) -> Power:
    """Counts and minimum detectable effects of the primary claims."""
    primary = verdicts[verdicts["primary"].astype(bool)]
    decided = int(primary["verdict"].isin(["supported", "contradicted"]).sum())
    in_points = primary[primary["unit"] == "points"]
    effects = pd.to_numeric(in_points["mde"], errors="coerce").dropna()
    if effects.empty:
        return Power(len(primary), decided)
    return Power(len(primary), decided, number(effects.min()), number(effects.max()))
