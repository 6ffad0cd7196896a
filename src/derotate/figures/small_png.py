# SPDX-License-Identifier: MIT
"""Figures as small PNG files for a repository and its pages.

A figure of thin lines has few colours, so a palette needs a fifth of the bytes of true colour. The
same tables give the same bytes.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from derotate.figures.style import look
from derotate.files.atomic import atomic_write

DPI: Final = 120
"""Resolution of the files: text of 7.5 points is 12 pixels high, legible on a screen."""
COLOURS: Final = 128


def save_small(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a PNG with a palette atomically."""
    with look():
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    with atomic_write(path) as part:
        few.save(part, format="PNG", optimize=True)
