# SPDX-License-Identifier: MIT
"""All figures of a study, from its tables: nothing is computed here that a table does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from matplotlib.figure import Figure

from derotate.reporting import (
    figures,
    figures_losses,
    figures_spectra,
    figures_surgery,
    figures_training,
)
from derotate.reporting.pictures import save_small
from derotate.reporting.style import save

ANGLE_FRACTION = 0.2
"""The top share of singular vectors whose angles are drawn; that of the main recipe."""

DRAWINGS: Mapping[str, tuple[tuple[str, ...], Callable[..., Figure]]] = MappingProxyType(
    {
        "sft_and_rl": (("accuracy_by_step",), figures.sft_and_rl),
        "losses": (("loss_by_step", "picks"), figures_losses.losses),
        "errors_by_step": (("errors_by_step",), figures.errors_by_step),
        "stages": (("stages",), figures.stages),
        "surgery": (("surgery",), figures_surgery.surgery_plane),
        "advantages": (("advantages", "rl_first_update"), figures_training.advantages),
        "rl_curves": (("rl_log",), figures_training.rl_curves),
        "singular_values": (("spectra_by_index",), figures_spectra.singular_values),
        "angles": (
            ("spectra_by_index",),
            lambda spectra: figures_spectra.angles(spectra, ANGLE_FRACTION),
        ),
    }
)
"""Figure -> the tables it is drawn from, and how."""


def draw_accuracy_by_step(table: Path, stem: Path) -> None:
    """The first figure: accuracy by SFT step, before any RL is done."""
    save(figures.accuracy_by_step(_read(table)), stem)


def draw_figures(tables: Path, folder: Path) -> None:
    """Draw every figure from the tables of a folder, as PNG and PDF."""
    for name, (sources, draw) in DRAWINGS.items():
        save(draw(*(_read(tables / f"{source}.csv") for source in sources)), folder / name)


def draw_picture(name: str, tables: Path, out: Path) -> None:
    """Draw one figure of `DRAWINGS` from the tables of a folder, as a small PNG."""
    sources, draw = DRAWINGS[name]
    save_small(draw(*(_read(tables / f"{source}.csv") for source in sources)), out)


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written: seeds are names, since `all` is one; no text is missing."""
    try:
        table = pd.read_csv(path, dtype={"seed": str, "base_seed": int})
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    texts = table.select_dtypes("str").columns
    return table.fillna(dict.fromkeys(texts, ""))
