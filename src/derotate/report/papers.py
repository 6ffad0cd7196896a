# SPDX-License-Identifier: MIT
"""This study beside the papers: accuracies at the landmarks, the released spectra re-examined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate.analysis.select_rows import POOLED
from derotate.published import as_tables as theirs
from derotate.published import numbers as published
from derotate.published import released_spectra as reexamination
from derotate.published.released_geometry import geometry
from derotate.report.format import NOTHING, count, estimate
from derotate.report.markdown import frame, table
from derotate.report.sources import Files, Sources

_LANDMARKS: Final = {
    "base": "base",
    "max_ood": "peak of SFT",
    "sft_end": "end of SFT",
    "rl_end": "after RL",
}
_SUITES: Final = (("ood", "test"), ("id", "train"))
"""Ours beside theirs: their ID problems are training problems too."""


@dataclass(frozen=True)
class Stages:
    """Accuracy at the landmarks, ours by base and theirs by model, in percent.

    Attributes:
        table: one row per landmark and split.
        papers: whose numbers stand beside ours.
        measured: whether there are numbers of ours.
    """

    table: str
    papers: tuple[str, ...]
    measured: bool


def stages(sources: Sources) -> Stages:
    """Accuracies at the landmarks beside those that the papers print for the same task."""
    folder = sources.files.published
    reported = theirs.stages(
        published.load(folder, "stages"), published.load(folder, "accuracy_by_step")
    )
    reported = reported[reported["task"] == theirs.TASK].sort_values(
        "paper", key=lambda papers: papers != theirs.PAPER, kind="stable"
    )
    models = list(dict.fromkeys(reported["model"]))
    keys = ["base_seed", "seed", "landmark", "split", "fold"]
    own = sources.tables.get("stages", pd.DataFrame(columns=keys))
    own = own[own["seed"] == POOLED]
    bases = sorted(set(own["base_seed"]))
    rows = []
    for split, fold in _SUITES:
        for landmark, name in _LANDMARKS.items():
            ours = own[
                (own["landmark"] == landmark) & (own["split"] == split) & (own["fold"] == fold)
            ]
            printed = reported[(reported["split"] == split) & (reported["landmark"] == landmark)]
            rows.append(
                [name, split.upper(), *(_cell(ours[ours["base_seed"] == base]) for base in bases),
                 *(_cell(printed[printed["model"] == model]) for model in models)]
            )  # fmt: skip
    columns = ["at", "problems", *(f"ours, base {base}" for base in bases)]
    columns += [theirs.NAMES.get(model, model) for model in models]
    return Stages(table(columns, rows), tuple(dict.fromkeys(reported["paper"])), bool(bases))


def _cell(rows: pd.DataFrame) -> str:
    """Accuracy, interval and n; all values where papers print several."""
    values = (
        f"{estimate(row['accuracy'], row['low'], row['high'])} ({count(row['n'])})"
        for _, row in rows.iterrows()
    )
    return " or ".join(values) or NOTHING


@dataclass(frozen=True)
class ReleasedSpectra:
    """The released LLaMA spectra: what they are consistent with, and one row per spectrum."""

    verdict: str
    table: str


def released_spectra(files: Files) -> ReleasedSpectra | None:
    """Distances of the released spectra from random and trained weights; None without a table."""
    if not files.reexamination.is_file():
        return None
    spectra = published.load(files.published, "spectra")
    measured = reexamination.load_measured(files.reexamination)
    distances = reexamination.spectrum_distances(spectra, measured)
    checks = geometry(spectra, measured)
    shown = distances[
        ["matrix", "recipe", "points", "distance", "random_high", "trained_low", "trained_median",
         "trained_high", "verdict"]
    ].rename(
        columns={"recipe": "stage", "random_high": "largest of random draws",
                 "trained_low": "trained, lowest", "trained_median": "trained, median",
                 "trained_high": "trained, highest"}
    )  # fmt: skip
    return ReleasedSpectra(reexamination.verdict(distances, checks), frame(shown, digits=4))
