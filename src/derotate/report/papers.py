# SPDX-License-Identifier: MIT
"""This study beside the papers: accuracies at the landmarks, the released spectra re-examined."""

from __future__ import annotations

from typing import Final

import pandas as pd

from derotate.analysis.select_rows import POOLED
from derotate.published import as_tables as theirs
from derotate.published import numbers as published
from derotate.published import released_spectra as reexamination
from derotate.report.format import NOTHING, frame, interval, listed, number, table, whole
from derotate.report.sources import Sources

_LANDMARKS: Final = {
    "base": "the base",
    "max_ood": "the peak of SFT",
    "sft_end": "the end of SFT",
    "rl_end": "after RL",
}
_SUITES: Final = (("ood", "test"), ("id", "train"))
"""Ours beside theirs. The problems of theirs that are in distribution are training problems too."""


def stages(sources: Sources) -> list[str]:
    """Accuracy at the landmarks, ours by base and theirs by model, in percent."""
    folder = sources.files.published
    found = theirs.stages(
        published.load(folder, "stages"), published.load(folder, "accuracy_by_step")
    )
    found = found[found["task"] == theirs.TASK].sort_values(
        "paper", key=lambda papers: papers != theirs.PAPER, kind="stable"
    )
    papers = listed(list(dict.fromkeys(found["paper"])))
    models = list(dict.fromkeys(found["model"]))
    own = sources.tables.get("stages", pd.DataFrame(columns=["base_seed", "seed", "n"]))
    own = own[own["seed"] == POOLED]
    bases = sorted(set(own["base_seed"]))
    rows = []
    for split, fold in _SUITES:
        for landmark, name in _LANDMARKS.items():
            ours = [_ours(own[own["base_seed"] == base], landmark, split, fold) for base in bases]
            printed = found[(found["split"] == split) & (found["landmark"] == landmark)]
            rows.append(
                [name, split.upper(), *ours,
                 *(_theirs(printed[printed["model"] == model]) for model in models)]
            )  # fmt: skip
    columns = ["at", "problems", *(f"ours, base {base}" for base in bases)]
    columns += [theirs.NAMES.get(model, model) for model in models]
    text = (
        "Accuracy in percent, [95 % interval], (n answers). Ours: one answer a problem, seeds of a "
        "base pooled, intervals over sets of numbers; ID are the problems that SFT learned. Theirs "
        f"(arXiv {papers}, both where they differ): solved within five graded attempts, one run, "
        "Wilson intervals that we added and that know nothing of seeds. So compare shapes, not "
        "heights."
    )
    missing = [] if len(bases) else ["Ours are missing: there is no stages.csv."]
    return ["## Beside the papers", text, table(columns, rows), *missing]


def _ours(own: pd.DataFrame, landmark: str, split: str, fold: str) -> str:
    rows = own[(own["landmark"] == landmark) & (own["split"] == split) & (own["fold"] == fold)]
    return _cell(rows.iloc[0]) if len(rows) else NOTHING


def _theirs(rows: pd.DataFrame) -> str:
    return " or ".join(_cell(row) for _, row in rows.iterrows()) or NOTHING


def _cell(row: pd.Series) -> str:
    return f"{number(row['accuracy'])} {interval(row['low'], row['high'])} ({whole(row['n'])})"


def released_spectra(sources: Sources) -> list[str]:
    """What the released LLaMA spectra are consistent with."""
    heading = "## The released spectra"
    if not sources.files.reexamination.is_file():
        return [heading, f"Not re-examined here: {sources.files.reexamination.name} is missing."]
    spectra = published.load(sources.files.published, "spectra")
    measured = reexamination.load_measured(sources.files.reexamination)
    distances = reexamination.spectrum_distances(spectra, measured)
    checks = reexamination.geometry(spectra, measured)
    shown = distances[
        ["matrix", "recipe", "points", "distance", "random_high", "trained_low", "trained_median",
         "trained_high", "verdict"]
    ].rename(columns={"recipe": "stage", "random_high": "largest of random draws"})  # fmt: skip
    text = (
        "How far the singular values in the papers' figures lie from the Marchenko-Pastur law of a "
        "random matrix (Kolmogorov distance, nothing fitted), beside random draws of that shape "
        "and beside matrices of a model trained here."
    )
    return [heading, reexamination.verdict(distances, checks), text, frame(shown, digits=4)]
