# SPDX-License-Identifier: MIT
"""The calibration of the tests as a file: their error rates on simulated studies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from derotate.claims.calibration import calibration_table, design
from derotate.files.atomic import atomic_write
from derotate.files.tables import write

ORIGIN = "made-with-*.json"
"""Record of the code and shapes behind a table; the star is their digest."""


def write_calibration(
    shapes: Sequence[Mapping[str, int]],
    studies: int,
    seed: int,
    made_with: Mapping[str, Any],
    table: Path,
    origin: Path,
) -> None:
    """Simulate studies of each shape, test them, and write the table and its record.

    Args:
        shapes: of the studies: bases, seeds (runs of each base), clusters (number sets) and
            per_cluster (problems of each), as `calibration.design` takes them.
        studies: simulated of each shape.
        seed: of the simulation.
        made_with: the record: code digest and shapes.
        table: the CSV file.
        origin: file of the record, beside the table; records of earlier tables are removed.
    """
    calibration = calibration_table([design(**shape) for shape in shapes], studies, seed)
    write(calibration, table)
    for older in table.parent.glob(ORIGIN):
        older.unlink()
    with atomic_write(origin) as part:
        part.write_text(json.dumps(made_with, indent=2) + "\n", encoding="utf-8")
