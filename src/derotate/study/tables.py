# SPDX-License-Identifier: MIT
"""Names of a study's tables: those that the rule `tables` writes and those that claims use.

Snakemake reads this list while it plans, so it imports no pandas. To add a table, add its name
here, a property of that name to `derotate.stages.tables.StudyTables`, and its columns to
`derotate.analysis.table_schemas`. A caption `workflow/report/<name>_table.rst` shows it in
Snakemake's report.
"""

from pathlib import Path
from typing import Final

TABLES: Final = (
    "accuracy_by_step",
    "arms_by_step",
    "loss_by_step",
    "errors_by_step",
    "picks",
    "stages",
    "contrasts",
    "surgery",
    "surgery_edits",
    "pass_at_k",
    "attempts",
    "episodes",
    "chance",
    "rl_log",
    "rl_first_update",
    "advantages",
    "spectra",
    "spectra_by_index",
    "states",
    "weights",
    "landmarks",
)
"""Tables of the rule `tables`: `<study>/tables/<name>.csv`."""

CLAIM_TABLES: Final = (
    "landmarks",
    "contrasts",
    "accuracy_by_step",
    "errors_by_step",
    "stages",
    "picks",
    "rl_first_update",
    "spectra",
    "surgery_edits",
    "chance",
    "states",
)
"""Tables that claims are judged by."""


def claim_tables(folder: str) -> list[str]:
    """Paths of the tables in `folder` that claims are computed from.

    A table that does not exist is left out: claims that need it stay undecided.
    """
    paths = [f"{folder}/{name}.csv" for name in CLAIM_TABLES]
    return [path for path in paths if Path(path).is_file()]
