# SPDX-License-Identifier: MIT
"""Differences between checkpoints with runs as the unit, as the claims are judged, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

from derotate.claims.cells import MissingCells, Tables, matches
from derotate.claims.effects import effects
from derotate.claims.hypothesis_tests import combine
from derotate.claims.schema import Cells, Term
from derotate.report.format import NOTHING, interval, number


@dataclass(frozen=True)
class Estimate:
    """A mean over bases of their runs, in points, with its 95 % interval (NaN: one run a base)."""

    mean: float
    low: float
    high: float

    @property
    def shown(self) -> str:
        """Mean and interval."""
        return f"{number(self.mean)} {interval(self.low, self.high)}"

    @property
    def reversed(self) -> Estimate:
        """The difference the other way round."""
        return Estimate(-self.mean, -self.high, -self.low)


def contrast(
    tables: Tables, name: str, split: str = "ood", fold: str = "test", **where: str
) -> Estimate:
    """The mean of a contrast over the runs of the study.

    Args:
        tables: of the study.
        name: of the contrast (see `derotate.analysis.contrasts`).
        split: of the problems.
        fold: of the problems.
        **where: further columns, e.g. treatment and direction.

    Raises:
        MissingCells: a run lacks it.
    """
    term = Term(where={"contrast": name, "split": split, "fold": fold, **where})
    mean = combine(effects(Cells(terms=(term,)), tables))
    return Estimate(mean.mean, *mean.interval())


def shown(
    tables: Tables,
    name: str,
    split: str = "ood",
    fold: str = "test",
    *,
    sign: int = 1,
    **where: str,
) -> str:
    """A contrast as a cell of a table: nothing if no run has it, else what is known.

    Args:
        tables: of the study.
        name: of the contrast, `split`, `fold` and `where` as in `contrast`.
        split: of the problems.
        fold: of the problems.
        sign: -1 shows the difference the other way round.
        **where: further columns.
    """
    key = {"contrast": name, "split": split, "fold": fold, **where}
    table = tables.get("contrasts")
    if table is None or not set(key) <= set(table.columns) or not matches(table, key).any():
        return NOTHING
    try:
        found = contrast(tables, name, split, fold, **where)
    except MissingCells:
        return "missing in some runs"
    return (found if sign > 0 else found.reversed).shown


def change(found: Estimate, up: str, down: str, either: str) -> str:
    """A change in words that go no further than its interval.

    Args:
        found: the change; its size and interval stand where the words have `{}`.
        up: what is said of one above 0 beyond doubt, e.g. `gave back {}`.
        down: of one below 0, e.g. `took another {}`; its size is then printed.
        either: of one that may be 0, e.g. `changed by {}`.
    """
    if found.low > 0:
        return up.format(f"{found.shown} points")
    if found.high < 0:
        return down.format(f"{found.reversed.shown} points")
    doubt = (
        "one run a base, so its spread is not known"
        if isnan(found.low)
        else "cannot be told from no change"
    )
    return either.format(f"{found.shown} points") + f" ({doubt})"
