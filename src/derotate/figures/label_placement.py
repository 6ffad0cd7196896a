# SPDX-License-Identifier: MIT
"""Labels of points that cover neither each other nor the points.

Greedy: each label takes the free position nearest to its point, on a few rings around it. The
result depends on the points alone, so the same tables give the same figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, hypot, radians, sin

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

# Distances from point to label, in points of 1/72 inch, and directions in degrees.
_RINGS = (8, 14, 22, 32, 44, 58, 74, 92, 112)
_ANGLES = (20, -20, 160, -160, 90, -90, 45, -45, 135, -135, 0, 180)
_CLEARANCE = 2.0


def place(
    axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], colours: Sequence[str]
) -> list[Annotation]:
    """Label each point of `axes` (data coordinates); a thin line joins the far ones.

    The limits of the axes must be final. Labels stay inside the axes where there is room.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # settles the layout, so that sizes are known
    scale = figure.dpi / 72
    frame = axes.get_window_extent()
    spots = [tuple(axes.transData.transform(point)) for point in points]
    occupied = [_around(x, y, 4 * scale) for x, y in spots]
    labels = []
    # Crowded points last: an isolated point keeps its best position in any case.
    order = sorted(range(len(points)), key=lambda i: (_neighbours(spots, i, 60 * scale), i))
    for i in order:
        label = axes.annotate(
            texts[i], points[i], (0, 0), textcoords="offset points", fontsize=7,
            color=colours[i], va="center", ha="center",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
        size = label.get_window_extent()
        offset, box = _free(spots[i], size.width, size.height, scale, occupied, frame)
        occupied.append(box)
        label.set_position((offset[0] / scale, offset[1] / scale))
        edge = _nearest(offset[0], size.width / 2), _nearest(offset[1], size.height / 2)
        if hypot(*edge) > 9 * scale:
            axes.annotate(
                "", points[i], (edge[0] / scale, edge[1] / scale), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": colours[i], "lw": 0.6, "shrinkA": 0,
                            "shrinkB": 2},
            )  # fmt: skip
        labels.append(label)
    return labels


def _free(
    spot: tuple[float, float], width: float, height: float, scale: float, occupied: Sequence[Bbox],
    frame: Bbox,
) -> tuple[tuple[float, float], Bbox]:  # fmt: skip
    """Offset of the label's middle from its point, in pixels, and the box that it fills."""
    best = None
    for ring in _RINGS:
        for angle in _ANGLES:
            across, up = cos(radians(angle)), sin(radians(angle))
            dx = across * (ring * scale + width / 2)
            dy = up * ring * scale
            box = Bbox.from_bounds(
                spot[0] + dx - width / 2 - _CLEARANCE, spot[1] + dy - height / 2 - _CLEARANCE,
                width + 2 * _CLEARANCE, height + 2 * _CLEARANCE,
            )  # fmt: skip
            covered = sum(_overlap(box, other) for other in occupied)
            outside = box.width * box.height - _overlap(box, frame)
            cost = covered + 2 * outside
            if best is None or cost < best[0]:
                best = (cost, (dx, dy), box)
            if cost <= 0.5:
                return (dx, dy), box
    assert best is not None
    return best[1], best[2]


def _nearest(middle: float, half: float) -> float:
    """The coordinate nearest to 0 of a stretch around `middle`."""
    return min(max(0.0, middle - half), middle + half)


def _around(x: float, y: float, half: float) -> Bbox:
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _overlap(a: Bbox, b: Bbox) -> float:
    """Shared area, in pixels."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0.0) * max(height, 0.0)


def _neighbours(spots: Sequence[tuple[float, float]], i: int, reach: float) -> int:
    return sum(abs(x - spots[i][0]) < reach and abs(y - spots[i][1]) < reach for x, y in spots)
