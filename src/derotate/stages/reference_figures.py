# SPDX-License-Identifier: MIT
"""Every figure of the reference study as a small PNG, from committed tables, without torch.

One process draws them all, since imports take most of the time of a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from derotate.analysis.table_schemas.reading import read_table
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.figures.small_png import save_small
from derotate.figures.tasks import Curves, tasks
from derotate.stages import figures, phase, reexamination
from derotate.study import reference

REEXAMINATION: Final = "reexamination"
"""The figure of the released spectra, which belongs to no study."""
PHASE: Final = "phase"
"""The phase diagram, a study of its own with its table among the others."""
TASKS: Final = "tasks"
"""The figure of all tasks side by side, from the tables of their studies."""


@dataclass(frozen=True)
class Roots:
    """Folders of tables.

    Attributes:
        tables: of the study.
        papers: `results/published`.
        reexamination: `results/reference/reexamination`.
        others: of the studies of other tasks, by task.
    """

    tables: Path
    papers: Path
    reexamination: Path
    others: Mapping[str, Path] = field(default_factory=dict)


def drawn_tables(own: Iterable[str]) -> list[str]:
    """The tables behind the figures of a study, the phase diagram and the released spectra."""
    others = {task: Path(folder) for task, folder in reference.other_tasks().items()}
    roots = Roots(
        Path(reference.TABLES), Path(reference.PAPERS), Path(reference.REEXAMINATION), others
    )
    return sorted(
        {str(path) for figure in reference.figures(own) for path in sources(figure, roots)}
    )


def draw_pictures(roots: Roots, out: Sequence[Path]) -> None:
    """Draw figures; each has the name of its file.

    Raises:
        ValueError: a table with impossible values or without its columns; one line with the file.
    """
    for path in out:
        save_small(drawn(path.stem, roots), path)


def drawn(name: str, roots: Roots) -> Figure:
    """One figure; raises as `draw_pictures`."""
    if name == PHASE:
        return phase.drawn(_phase_table(roots))
    if name == REEXAMINATION:
        return reexamination.drawn(roots.papers, roots.reexamination)
    if name == TASKS:
        return tasks([_curves(task, folder) for task, folder in _by_task(roots).items()])
    return figures.drawn(name, reference.TASK, roots.tables, roots.papers)


def sources(name: str, roots: Roots) -> list[Path]:
    """The tables behind a figure."""
    if name == PHASE:
        return [_phase_table(roots)]
    if name == REEXAMINATION:
        measured = (roots.reexamination / f"{part}.csv" for part in ("measured", "trained_spectra"))
        return [roots.papers / "spectra.csv", *measured]
    if name == TASKS:
        return [
            folder / f"{table}.csv"
            for folder in _by_task(roots).values()
            for table in SIDE_BY_SIDE
            if (folder / f"{table}.csv").is_file()
        ]
    paths: list[Path] = []
    for source in figures.DRAWINGS[name].sources:
        if source in figures.PUBLISHED_TABLES:
            paths += [
                roots.papers / f"{subject}.csv" for subject in figures.PUBLISHED_TABLES[source][0]
            ]
        elif source not in figures.TASK_WORDS:
            paths.append(roots.tables / f"{source}.csv")
    return paths


def _phase_table(roots: Roots) -> Path:
    return roots.tables / "phase.csv"


SIDE_BY_SIDE: Final = ("accuracy_by_step", "chance")
"""Tables of a task in the figure of all tasks; chance may be absent."""


def _by_task(roots: Roots) -> dict[str, Path]:
    """Folders of the studies by task, the reference first."""
    return {reference.TASK: roots.tables, **roots.others}


def _curves(task: str, folder: Path) -> Curves:
    accuracy, chance = (
        read_table(path, SCHEMAS[path.stem]) if path.is_file() else pd.DataFrame()
        for path in (folder / f"{name}.csv" for name in SIDE_BY_SIDE)
    )
    return Curves(task, accuracy, chance)
