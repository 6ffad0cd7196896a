# SPDX-License-Identifier: MIT
"""Differences between checkpoints with runs as the unit, estimated as the claims are judged."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import ClassVar

from derotate.claims.cells import MissingCells, Tables, matches
from derotate.claims.effects import effects
from derotate.claims.hypothesis_tests import combine
from derotate.claims.schema import Cells, Term
from derotate.report.format import NOTHING, estimate


@dataclass(frozen=True)
class Estimate:
    """A mean over bases of their runs, in points, with its 95 % CI (NaN: one run per base)."""

    mean: float
    low: float
    high: float
    measured: ClassVar[bool] = True

    def __str__(self) -> str:
        return estimate(self.mean, self.low, self.high)

    @property
    def reversed(self) -> Estimate:
        """The opposite difference."""
        return Estimate(-self.mean, -self.high, -self.low)


@dataclass(frozen=True)
class Missing:
    """A difference that some run lacks.

    Attributes:
        cells: the cells that are missing, in words.
        everywhere: whether no run has it.
    """

    cells: str
    everywhere: bool = True
    measured: ClassVar[bool] = False

    def __str__(self) -> str:
        return NOTHING if self.everywhere else "missing in some runs"

    @property
    def reversed(self) -> Missing:
        """Missing as well."""
        return self


def contrast(
    tables: Tables, name: str, split: str = "ood", fold: str = "test", **columns: str
) -> Estimate | Missing:
    """The mean of a contrast over the runs of the study.

    Args:
        tables: of the study.
        name: of the contrast (see `derotate.analysis.contrasts`).
        split: of the problems.
        fold: of the problems.
        **columns: further columns, e.g. treatment and direction.
    """
    where = {"contrast": name, "split": split, "fold": fold, **columns}
    term = Term(where={**where})
    try:
        mean = combine(effects(Cells(terms=(term,)), tables))
    except MissingCells as error:
        return Missing(str(error), everywhere=not _exists(tables, where))
    return Estimate(mean.mean, *mean.interval())


def _exists(tables: Tables, where: dict[str, str]) -> bool:
    table = tables.get("contrasts")
    return table is not None and set(where) <= set(table.columns) and matches(table, where).any()


def change(effect: Estimate, up: str, down: str, unclear: str) -> str:
    """A change in words that claim no more than its CI.

    Args:
        effect: the change; mean and CI replace `{}` in the words.
        up: for a CI above 0, e.g. `raises OOD accuracy by {}`.
        down: for a CI below 0, e.g. `took another {}`; the size of the change is printed.
        unclear: for a CI that includes 0, e.g. `changed by {}`.
    """
    if effect.low > 0:
        return up.format(f"{effect} points")
    if effect.high < 0:
        return down.format(f"{effect.reversed} points")
    why = "one run per base, so no CI" if isnan(effect.low) else "not significant"
    return unclear.format(f"{effect} points") + f" ({why})"
