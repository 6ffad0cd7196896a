# SPDX-License-Identifier: MIT
"""The grid of 30 recipes that surgery is measured on."""

from derotate.config.recipes import Band, Part, Recipe

PARTS: tuple[Part, ...] = ("values", "directions", "both")
GRID = tuple(
    Recipe(name=f"{part}-top{tenths}0", part=part, band=Band(fraction=tenths / 10))
    for part in PARTS
    for tenths in range(1, 11)
)
