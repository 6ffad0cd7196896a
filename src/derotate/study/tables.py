# SPDX-License-Identifier: MIT
"""The tables of a study by name: what the rule `tables` writes, what is shown, what claims read.

Snakemake reads this list while it plans, so it imports nothing. To add a table, add its name here,
a property of that name to `derotate.stages.tables.StudyTables`, and its columns to
`derotate.analysis.table_schemas.study`.
"""

from collections.abc import Mapping
from types import MappingProxyType
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

SHOWN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stages": "Forgetting and healing",
        "picks": "Forgetting and healing",
        "contrasts": "Contrasts",
        "surgery": "Surgery",
        "rl_first_update": "Reinforcement learning",
    }
)
"""Tables that are also written as Markdown and HTML: category in Snakemake's report. The caption is
`workflow/report/<name>_table.rst`."""

JUDGED: Final = (
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
