# SPDX-License-Identifier: MIT
"""A statistic of a claim: one number per run, and the cells of the tables that it is computed from.

To add one, write a subclass in `step_statistics` or `spectral_statistics` and add it to the union
at the end of that module. Claims name it by its `kind`; evaluation, planning and the comparison of
studies use `value` and `required_cells` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from derotate.claims.cells import Tables

Landmark = Literal["base", "max_ood", "sft_end", "rl_end"]
OOD_TEST: Mapping[str, str] = {"split": "ood", "fold": "test"}


class Frozen(BaseModel):
    """A block of claims.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class RequiredCells:
    """Cells of a table that a statistic is computed from, in every run.

    Attributes:
        table: its name.
        where: column and value; `{rl_end}` stands for the RL run of that landmark, `*` matches as
            in file names, and `landmark` for a checkpoint in the column `pair`.
        algorithm: RL algorithm from whose starts there must be such a cell; empty: one cell.
        starts: at least so many of them.
        every_start: whether each start of the study counts, since which ones matter is known only
            afterwards.
    """

    table: str
    where: Mapping[str, str | int | float]
    algorithm: str = ""
    starts: int = 1
    every_start: bool = False


class RunStatistic(Frozen, ABC):
    """One number per run, of which no error over problems is known."""

    bound: ClassVar[float | None] = None
    """Largest absolute value that is possible; None: unbounded."""

    @abstractmethod
    def value(self, tables: Tables, run: Mapping[str, Any]) -> float:
        """The statistic of one run.

        Args:
            tables: of the study.
            run: a row of the landmarks: base_seed, seed (text), max_ood, sft_end, rl_end_*.

        Raises:
            MissingCells: the run lacks cells.
        """

    @abstractmethod
    def required_cells(self) -> Iterator[RequiredCells]:
        """The cells that `value` reads."""
