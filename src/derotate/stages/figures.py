# SPDX-License-Identifier: MIT
"""All figures of a study, from its tables.

A figure is one entry of `DRAWINGS`, a function of `derotate.figures`, and its caption
`workflow/report/<name>.rst`. Numbers of the papers on the same task are shown with ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from derotate import tasks
from derotate.analysis.table_schemas.columns import is_text
from derotate.analysis.table_schemas.reading import read_table
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.figures import accuracy, diagnostics, losses, rl, spectra, surgery
from derotate.figures.style import save
from derotate.published import as_tables as published
from derotate.published.numbers import load
from derotate.tasks.task_defaults import Defaults

ANGLE_FRACTION: Final = 0.2
"""The top share of singular vectors in the figures, that of the main recipe."""


@dataclass(frozen=True)
class Drawing:
    """How a figure is drawn.

    Attributes:
        sources: the arguments of `draw`: tables of the study, `PUBLISHED_TABLES`, `TASK_WORDS`.
        draw: a function of `derotate.figures`.
    """

    sources: tuple[str, ...]
    draw: Callable[..., Figure]


DRAWINGS: Final[Mapping[str, Drawing]] = MappingProxyType(
    {
        "sft_and_rl": Drawing(("accuracy_by_step", "their_accuracy"), accuracy.sft_and_rl),
        "losses": Drawing(("loss_by_step", "picks"), losses.losses),
        "errors_by_step": Drawing(("errors_by_step",), accuracy.errors_by_step),
        "stages": Drawing(("stages", "their_stages", "splits"), accuracy.stages),
        "surgery": Drawing(
            ("surgery", "surgery_edits", "their_surgery"),
            lambda plane, edits, theirs: surgery.surgery_plane(plane, edits, published=theirs),
        ),
        "diagnostics": Drawing(
            ("states", "weights", "clusters"),
            partial(diagnostics.diagnostics, fraction=ANGLE_FRACTION),
        ),
        "advantages": Drawing(("advantages", "rl_first_update"), rl.advantages),
        "rl_curves": Drawing(("rl_log",), rl.rl_curves),
        "singular_values": Drawing(("spectra_by_index",), spectra.singular_values),
        "angles": Drawing(("spectra_by_index",), partial(spectra.angles, fraction=ANGLE_FRACTION)),
    }
)
"""Figures by name. A new one also needs its caption in workflow/report."""

PUBLISHED_TABLES: Final[Mapping[str, tuple[tuple[str, str], Callable[..., pd.DataFrame]]]] = (
    MappingProxyType(
        {
            "their_accuracy": (("accuracy_by_step", "stages"), published.accuracy_by_step),
            "their_stages": (("stages", "accuracy_by_step"), published.stages),
            "their_surgery": (("surgery", "stages"), published.surgery),
        }
    )
)
"""Tables of the papers' numbers: the published subjects that each needs, and its function."""

TASK_WORDS: Final[Mapping[str, Callable[[Defaults], Any]]] = MappingProxyType(
    {
        "splits": lambda defaults: defaults.splits,
        "clusters": lambda defaults: defaults.wording.clusters,
    }
)
"""Words of the task in a figure."""


def draw_accuracy_by_step(table: Path, stem: Path) -> None:
    """The first figure: accuracy by SFT step, before any RL is done."""
    save(accuracy.accuracy_by_step(_read(table, "accuracy_by_step")), stem)


def draw_figures(task: str, tables: Path, papers: Path, folder: Path) -> None:
    """Draw every figure, as PNG and PDF.

    Args:
        task: of the study.
        tables: folder of the study's tables.
        papers: `results/published`.
        folder: output folder.

    Raises:
        PublishedError: an impossible published number; one line with file, row and column.
    """
    for name in DRAWINGS:
        save(drawn(name, task, tables, papers), folder / name)


def drawn(name: str, task: str, tables: Path, papers: Path) -> Figure:
    """One figure of `DRAWINGS`; the arguments are those of `draw_figures`."""
    drawing, defaults = DRAWINGS[name], tasks.defaults(task)
    return drawing.draw(
        *(_argument(defaults, tables, papers, source) for source in drawing.sources)
    )


def _argument(defaults: Defaults, tables: Path, papers: Path, source: str) -> Any:
    """A source of a figure; None for a published table if the papers do not have the task."""
    if source in TASK_WORDS:
        return TASK_WORDS[source](defaults)
    if source in PUBLISHED_TABLES:
        subjects, arrange = PUBLISHED_TABLES[source]
        if not defaults.published:
            return None
        return arrange(*(load(papers, subject) for subject in subjects))
    return _read(tables / f"{source}.csv", source)


def _read(path: Path, name: str) -> pd.DataFrame:
    """A table with the schema of that name; a missing text is ""."""
    schema = SCHEMAS[name]
    texts = [column for column, values in schema.columns.items() if is_text(values)]
    return read_table(path, schema).fillna(dict.fromkeys(texts, ""))
