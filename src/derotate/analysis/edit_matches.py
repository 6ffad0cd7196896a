# SPDX-License-Identifier: MIT
"""Interpolations that could not be matched to another recipe, from surgery_edits.csv."""

from __future__ import annotations

import pandas as pd


def unmatched(edits: pd.DataFrame) -> dict[str, str]:
    """Remark on each interpolation for which some run has no amount of the wanted ID loss.

    There the nearer end of the interpolation is evaluated, so the control costs more or less ID
    loss than the edit that it is compared with.

    Args:
        edits: surgery_edits.csv; `matched` is True, False, or empty where no match was wanted.

    Returns:
        Recipe -> e.g. "not matched in 1 of 3 runs"; nothing for a recipe that was always matched.
    """
    if "matched" not in edits:
        return {}
    # a table from memory has booleans, a table from a file their text
    matched = edits["matched"].astype(str)
    own = edits.assign(failed=matched == "False")[matched.isin(["True", "False"])]
    counts = own.groupby("recipe")["failed"].agg(["sum", "count"])
    return {
        str(recipe): f"not matched in {row['sum']} of {row['count']} runs"
        for recipe, row in counts.iterrows()
        if row["sum"]
    }
