# SPDX-License-Identifier: MIT
"""One look for all figures: roles have fixed colours, text is readable at column width.

Colours are from seaborn's colour-blind palette. A figure is drawn and saved inside `look()`, and
its files hold no date and no version, so the same tables give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Final, Literal, ParamSpec

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from derotate.files.atomic import atomic_write

PAGE: Final = 7.2
"""Text width of a page in inches; type stays legible at two thirds of it."""
DPI: Final = 200

P = ParamSpec("P")

Role = Literal[
    "base", "sft", "grpo", "ppo", "surgery", "control", "id", "ood", "null", "muted"
]  # fmt: skip

# Places in seaborn's "colorblind" palette.
_PLACES: Final = {
    "sft": 1, "grpo": 0, "ppo": 2, "ood": 3, "surgery": 4, "base": 7, "id": 9,
}  # fmt: skip
_KINDS: Final = {"correct": "#029e73", "id_rule_applied": "#56b4e9", "unparsable": "#949494"}
_OTHER_KINDS: Final = ("#de8f05", "#cc78bc", "#ece133", "#ca9161")
_FURTHER_KINDS: Final = "#d0d0d0"
_GREYS: Final = {"control": "#4d4d4d", "null": "#9a9a9a", "muted": "#6f6f6f"}


def colour(role: Role) -> str:
    """The colour of a role, the same in every figure."""
    if role in _GREYS:
        return _GREYS[role]
    return str(sns.color_palette("colorblind").as_hex()[_PLACES[role]])


def kind_colours(kinds: Sequence[str]) -> dict[str, str]:
    """Colours of error kinds: fixed for kinds of all tasks, cycled for those of one task."""
    others = iter(_OTHER_KINDS)
    return {kind: _KINDS.get(kind) or next(others, _FURTHER_KINDS) for kind in kinds}


def shades(role: Role, count: int) -> list[str]:
    """`count` shades of a role's colour, from light to dark, for ordered things such as steps."""
    middle = colour(role)
    ends = sns.light_palette(middle, 5)[2], sns.dark_palette(middle, 5)[2]
    return list(sns.blend_palette([ends[0], middle, ends[1]], count).as_hex())


def look() -> AbstractContextManager[None]:
    """Matplotlib settings for drawing and saving figures."""
    settings = {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper"),
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.labelsize": 8,
        "axes.titlesize": 8.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": 7.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "figure.dpi": DPI,
        "pdf.fonttype": 42,
        "svg.hashsalt": "derotate",
    }
    return mpl.rc_context(settings)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw a figure under `look()`."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with look():
            return draw(*args, **kwargs)

    return drawn


def canvas(
    rows: int = 1,
    columns: int = 1,
    width: float = PAGE,
    row_height: float = 2.6,
    sharey: bool | Literal["row"] = False,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure outside pyplot, so without global state, and its axes by row and column."""
    figure = Figure(figsize=(width, row_height * rows), layout="constrained")
    FigureCanvasAgg(figure)  # measures text
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    return figure, [list(row) for row in grid]


def stacked(rows: Sequence[tuple[int, float]]) -> tuple[Figure, list[list[Axes]]]:
    """A figure like `canvas`, with its own number of panels and height in inches per row."""
    heights = [height for _, height in rows]
    figure = Figure(figsize=(PAGE, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)  # measures text
    strips = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)
    return figure, [
        list(strip.subplots(1, panels, squeeze=False)[0])
        for strip, (panels, _) in zip(strips[:, 0], rows, strict=True)
    ]


def note(axes: Axes, text: str) -> None:
    """Put a note into a panel, in place of data."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", wrap=True,
              color=colour("muted"))  # fmt: skip
    axes.set(xticks=[], yticks=[])


def save(figure: Figure, stem: str | os.PathLike[str]) -> None:
    """Write `stem`.png (200 dpi) and `stem`.pdf atomically."""
    nothing = {
        "png": {"Software": None},
        "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
    }
    with look():
        for form, metadata in nothing.items():
            with atomic_write(f"{os.fspath(stem)}.{form}") as part:
                figure.savefig(part, format=form, dpi=DPI, metadata=metadata)
