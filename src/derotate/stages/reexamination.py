# SPDX-License-Identifier: MIT
"""The released LLaMA spectra re-examined: tables, a page and a figure from committed numbers."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from derotate.figures import released_spectra as figures_reexamination
from derotate.figures.style import save
from derotate.files.html import page
from derotate.files.tables import write
from derotate.published import numbers as published
from derotate.published import released_spectra as reexamination
from derotate.published.released_geometry import geometry
from derotate.published.trained_spectra import distance_to_nearest, load_trained

TABLES = ("reexamination_spectra", "reexamination_checks")


def write_reexamination(papers: Path, reference: Path, tables: Path, figures: Path) -> None:
    """Compare the released spectra with random and with trained weights.

    Args:
        papers: `results/published`.
        reference: `results/reference/reexamination`, measured on random draws and a trained model.
        tables: output folder of `reexamination_spectra.csv` (one row per spectrum: distances from
            the law and from the nearest trained matrix), `reexamination_checks.csv` (one row per
            quantity) and the page `reexamination.html`.
        figures: output folder of the figure.

    Raises:
        PublishedError: an impossible published number.
        ValueError: a reference table lacks columns or values.
    """
    spectra = published.load(papers, "spectra")
    measured = reexamination.load_measured(reference / "measured.csv")
    trained = load_trained(reference / "trained_spectra.csv")
    distances = reexamination.spectrum_distances(spectra, measured)
    distances["from_nearest_trained"] = [
        distance_to_nearest(
            list(own["value"]),
            list(own["index"]),
            reexamination.SHAPES[str(matrix)],
            reexamination.DEVIATION,
            trained,
        )
        for (matrix, _), own in reexamination.readings(spectra).groupby(
            ["matrix", "recipe"], sort=False
        )
    ]
    checks = geometry(spectra, measured)
    for name, table in zip(TABLES, (distances, checks), strict=True):
        write(table, tables / f"{name}.csv")
    page(
        "The released LLaMA spectra",
        [reexamination.verdict(distances, checks), distances, checks],
        tables / "reexamination.html",
        digits=4,
    )
    save(drawn(papers, reference), figures / "reexamination")


def drawn(papers: Path, reference: Path) -> Figure:
    """The figure; arguments and errors are those of `write_reexamination`."""
    spectra = published.load(papers, "spectra")
    measured = reexamination.load_measured(reference / "measured.csv")
    return figures_reexamination.reexamination(
        reexamination.readings(spectra),
        load_trained(reference / "trained_spectra.csv"),
        reexamination.spectrum_distances(spectra, measured),
        measured,
    )
