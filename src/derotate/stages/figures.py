# SPDX-License-Identifier: MIT
"""All figures of a study, from its tables: nothing is computed here that a table does not hold.

Where the papers print numbers of the same kind for the task, these are drawn beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from derotate import tasks
from derotate.figures import accuracy as figures
from derotate.figures import diagnostics as figures_diagnostics
from derotate.figures import losses as figures_losses
from derotate.figures import rl as figures_training
from derotate.figures import spectra as figures_spectra
from derotate.figures import surgery as figures_surgery
from derotate.figures.style import save
from derotate.published import as_tables as published
from derotate.published.numbers import load
from derotate.tasks.task_defaults import Defaults

ANGLE_FRACTION = 0.2
"""The top share of singular vectors that the figures show; that of the main recipe."""

DRAWINGS: Mapping[str, tuple[tuple[str, ...], Callable[..., Figure]]] = MappingProxyType(
    {
        "sft_and_rl": (("accuracy_by_step", "their_accuracy"), figures.sft_and_rl),
        "losses": (("loss_by_step", "picks"), figures_losses.losses),
        "errors_by_step": (("errors_by_step",), figures.errors_by_step),
        "stages": (("stages", "their_stages", "splits"), figures.stages),
        "surgery": (
            ("surgery", "their_surgery"),
            lambda plane, theirs: figures_surgery.surgery_plane(plane, published=theirs),
        ),
        "diagnostics": (
            ("states", "weights", "clusters"),
            partial(figures_diagnostics.diagnostics, fraction=ANGLE_FRACTION),
        ),
        "advantages": (("advantages", "rl_first_update"), figures_training.advantages),
        "rl_curves": (("rl_log",), figures_training.rl_curves),
        "singular_values": (("spectra_by_index",), figures_spectra.singular_values),
        "angles": (
            ("spectra_by_index",),
            lambda spectra: figures_spectra.angles(spectra, ANGLE_FRACTION),
        ),
    }
)
"""Figure -> what it is drawn from, and how: tables, those of the papers, and words of the task."""

THEIRS: Mapping[str, tuple[tuple[str, str], Callable[..., pd.DataFrame]]] = MappingProxyType(
    {
        "their_accuracy": (("accuracy_by_step", "stages"), published.accuracy_by_step),
        "their_stages": (("stages", "accuracy_by_step"), published.stages),
        "their_surgery": (("surgery", "stages"), published.surgery),
    }
)
"""Table of the papers' numbers -> the published subjects that it is made of, and how."""

WORDS: Mapping[str, Callable[[Defaults], Any]] = MappingProxyType(
    {
        "splits": lambda known: known.splits,
        "clusters": lambda known: known.wording.clusters,
    }
)
"""Words of the task -> where they stand in its `Defaults`."""


def draw_accuracy_by_step(table: Path, stem: Path) -> None:
    """The first figure: accuracy by SFT step, before any RL is done."""
    save(figures.accuracy_by_step(_read(table)), stem)


def draw_figures(task: str, tables: Path, papers: Path, folder: Path) -> None:
    """Draw every figure, as PNG and PDF.

    Args:
        task: of the study.
        tables: folder of the study's tables.
        papers: `results/published`.
        folder: where the figures go.

    Raises:
        PublishedError: a published number that cannot be right; one line with file, row, column.
    """
    for name in DRAWINGS:
        save(drawn(name, task, tables, papers), folder / name)


def drawn(name: str, task: str, tables: Path, papers: Path) -> Figure:
    """One figure of `DRAWINGS`; the arguments are those of `draw_figures`."""
    sources, draw = DRAWINGS[name]
    known = tasks.defaults(task)
    return draw(*(_found(known, tables, papers, source) for source in sources))


def _found(known: Defaults, tables: Path, papers: Path, name: str) -> Any:
    """A source of a figure; None for numbers of the papers that there are not for the task."""
    if name in WORDS:
        return WORDS[name](known)
    if name in THEIRS:
        subjects, arrange = THEIRS[name]
        return (
            arrange(*(load(papers, subject) for subject in subjects)) if known.published else None
        )
    return _read(tables / f"{name}.csv")


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written: seeds are names, since `all` is one; no text is missing."""
    try:
        table = pd.read_csv(path, dtype={"seed": str, "base_seed": int})
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    texts = table.select_dtypes("str").columns
    return table.fillna(dict.fromkeys(texts, ""))
