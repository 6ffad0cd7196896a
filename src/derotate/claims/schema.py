# SPDX-License-Identifier: MIT
"""The claims of the papers as data: what would show each, and what would refute it.

`claims.yaml` beside this module was committed before the reference study ran; its digest stands on
the findings page. A claim holds if all of its parts hold. A part names a statistic (one number per
run, see `derotate.claims.effects`) and the test that its mean must pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from derotate.claims.run_statistic import Frozen, RequiredCells
from derotate.claims.spectral_statistics import Spectral
from derotate.claims.step_statistics import StepStatistic
from derotate.study.provenance import value_digest

CLAIMS = Path(__file__).with_name("claims.yaml")


class Term(Frozen):
    """A column of the one row of a table that fits a run, times a weight.

    The value `{rl_end}` stands for the RL run of that landmark, e.g. rl-grpo-600. If the table has
    a column standard_error and pooled rows, the uncertainty over problems is known. Otherwise the
    result generalises to new seeds on the same problems.
    """

    table: str = "contrasts"
    where: Mapping[str, str | int | float] = Field(description="column and value of the row")
    column: str = "points"
    weight: float = 1.0


class Cells(Frozen):
    """A weighted sum of cells. A treatment with `*` makes one part per treatment that matches."""

    kind: Literal["cells"] = "cells"
    terms: tuple[Term, ...] = Field(min_length=1)

    def required_cells(self) -> Iterator[RequiredCells]:
        """The cell of each term."""
        for term in self.terms:
            yield RequiredCells(term.table, term.where)


class Recovered(Frozen):
    """A ratio of two sums of cells, with Fieller's interval."""

    kind: Literal["ratio"]
    numerator: tuple[Term, ...] = Field(min_length=1)
    denominator: tuple[Term, ...] = Field(min_length=1)

    def required_cells(self) -> Iterator[RequiredCells]:
        """The cell of each term of both sums."""
        for term in (*self.numerator, *self.denominator):
            yield RequiredCells(term.table, term.where)


def _with_kind(statistic: Any) -> Any:
    """Cells need not name their kind."""
    if isinstance(statistic, Mapping):
        return {"kind": "cells", **statistic}
    return statistic


Statistic = Annotated[
    Cells | Recovered | StepStatistic | Spectral,
    Field(discriminator="kind"),
    BeforeValidator(_with_kind),
]
"""The statistic of a part, chosen by its `kind`."""


class Part(Frozen):
    """One statistic and the test of its mean over runs.

    - more, less: holds if the 95 % interval excludes `null_value` on that side and the estimate
      reaches `threshold`; is refuted if the interval falls short of `threshold` altogether.
    - equivalent: holds if TOST shows it within `margin` of 0; is refuted if the interval lies
      beyond the margin.
    """

    label: str
    statistic: Statistic
    unit: str = "points"
    test: Literal["more", "less", "equivalent"]
    null_value: float = 0.0
    threshold: float | None = Field(None, description="default: the null value")
    margin: float | None = None

    @property
    def bar(self) -> float:
        """What the estimate must reach: the threshold, by default the null value."""
        return self.null_value if self.threshold is None else self.threshold

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        equivalent = self.test == "equivalent"
        if equivalent != (self.margin is not None) or (
            self.margin is not None and self.margin <= 0
        ):
            raise ValueError(
                f"part {self.label}: test = {self.test}, margin = {self.margin}; expected a "
                "positive margin with equivalent and none otherwise"
            )
        short = {"more": self.bar < self.null_value, "less": self.bar > self.null_value}.get(
            self.test, False
        )
        if short or (equivalent and self.threshold is not None):
            raise ValueError(
                f"part {self.label}: threshold = {self.threshold}, "
                f"null_value = {self.null_value}; expected a threshold that is no weaker than the "
                f"null value for test = {self.test}"
            )
        if equivalent and isinstance(self.statistic, Recovered):
            raise ValueError(f"part {self.label}: a ratio is tested as more or less")
        return self


class Floor(Frozen):
    """If the mean over runs is below this, there is no effect that the claim could be about."""

    label: str
    statistic: Cells
    at_least: float


class Claim(Frozen):
    """One falsifiable statement.

    `needs` names in words the tables, rows and landmarks that it is read from. With `other_tasks`
    it is tested on each study of another task, and no study alone can show it.
    """

    id: str = Field(pattern=r"^C\d+$")
    title: str
    statement: str
    source: str
    primary: bool = False
    other_tasks: bool = False
    needs: tuple[str, ...] = Field(min_length=1)
    parts: tuple[Part, ...] = ()
    floors: tuple[Floor, ...] = ()
    not_testable: str | None = None

    def required_cells(self) -> Iterator[RequiredCells]:
        """The cells that its parts and floors are computed from."""
        statistics = [part.statistic for part in self.parts]
        for statistic in (*statistics, *(floor.statistic for floor in self.floors)):
            yield from statistic.required_cells()

    @model_validator(mode="after")
    def _tested_or_not(self) -> Self:
        if bool(self.parts) == bool(self.not_testable):
            raise ValueError(
                f"claim {self.id}: {len(self.parts)} parts, not_testable = {self.not_testable}; "
                "expected parts, or the reason why there are none"
            )
        return self


class Claims(Frozen):
    """All claims, each id once."""

    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"claims: id = {', '.join(twice)} is used twice, expected unique ids")
        return self


def load_claims(path: Path = CLAIMS) -> tuple[Claim, ...]:
    """The claims of a file, in its order.

    Raises:
        ValueError: one line that names the file, the key and what is wrong.
    """
    try:
        return Claims.model_validate(_values(path)).claims
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {place}: {message}") from None


def claims_digest(path: Path = CLAIMS) -> str:
    """Digest of what the file says; comments, layout and the order of keys do not count."""
    return value_digest(_values(path))


def _values(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable YAML file ({line})") from None
