# SPDX-License-Identifier: MIT
"""The claims of the papers as data: what would show each, and what would refute it.

`claims.yaml` beside this module is written and committed before the reference study runs; its
digest stands on the findings page. A claim holds if all of its parts hold. A part names a statistic
(one number a run, see `derotate.claims.effects`) and how it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from derotate.study.provenance import value_digest

CLAIMS = Path(__file__).with_name("claims.yaml")

Landmark = Literal["base", "max_ood", "sft_end", "rl_end"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Term(_Frozen):
    """A column of the one row of a table that fits a run, times a weight.

    The value `{rl_end}` stands for the RL run of that landmark, e.g. rl-grpo-600.
    If the table has a column standard_error and pooled rows, the problems' share of the
    uncertainty is known, otherwise the result speaks about other seeds only.
    """

    table: str = "contrasts"
    where: Mapping[str, str | int | float] = Field(description="column and value of the row")
    column: str = "points"
    weight: float = 1.0


class Cells(_Frozen):
    """A weighted sum of cells. A treatment with `*` makes one part of each that it matches."""

    kind: Literal["cells"] = "cells"
    terms: tuple[Term, ...] = Field(min_length=1)


class Recovered(_Frozen):
    """A ratio of two sums of cells, with Fieller's interval."""

    kind: Literal["ratio"]
    numerator: tuple[Term, ...] = Field(min_length=1)
    denominator: tuple[Term, ...] = Field(min_length=1)


class Trend(_Frozen):
    """Spearman's correlation of SFT step and accuracy from the OOD peak on, -1 to 1."""

    kind: Literal["trend"]
    split: str
    fold: str


class AcrossStarts(_Frozen):
    """Spearman's correlation over the starts of RL within a run, -1 to 1."""

    kind: Literal["across_starts"]
    algorithm: str
    predictor: Literal["correct_share", "start_accuracy"]
    outcome: Literal["gain", "accuracy"]
    least: int = Field(4, description="starts below which a rank correlation says nothing")


class Window(_Frozen):
    """Mean gain of RL from starts whose ID accuracy lies in a window, minus from the others."""

    kind: Literal["window"]
    algorithm: str
    fold: str
    low: float = Field(description="percent of ID problems")
    high: float


class WellFormed(_Frozen):
    """Accuracy lost from peak to end of SFT among answers that parse, in points."""

    kind: Literal["well_formed"]


class Unparsable(_Frozen):
    """The largest share of answers that do not parse, from the peak on, in percent."""

    kind: Literal["unparsable"]


class Spectral(_Frozen):
    """A mean over matrices of a spectral metric between two landmarks, minus that of another.

    The mean runs over the kinds of matrices, the metrics and the indices of the band; `largest`
    takes the largest absolute value over layers, else the mean over layers. `outer` is the mean
    over the first and last tenth of the indices minus that over the rest.
    """

    kind: Literal["spectral"]
    metrics: tuple[str, ...]
    pair: tuple[Landmark, Landmark]
    against: str = "patient"
    minus_pair: tuple[Landmark, Landmark] | None = None
    minus_against: str | None = None
    fraction: float | None = None
    band: Literal["all", "top", "outer"] = "all"
    largest: bool = False
    scale: float = 1.0


def _kind(statistic: Any) -> str:
    """The kind of a statistic that is read or made; cells need not say it."""
    if isinstance(statistic, Mapping):
        return str(statistic.get("kind", "cells"))
    return str(getattr(statistic, "kind", ""))


Statistic = Annotated[
    Annotated[Cells, Tag("cells")]
    | Annotated[Recovered, Tag("ratio")]
    | Annotated[Trend, Tag("trend")]
    | Annotated[AcrossStarts, Tag("across_starts")]
    | Annotated[Window, Tag("window")]
    | Annotated[WellFormed, Tag("well_formed")]
    | Annotated[Unparsable, Tag("unparsable")]
    | Annotated[Spectral, Tag("spectral")],
    Discriminator(_kind),
]


class Part(_Frozen):
    """One statistic and how it is judged.

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
    threshold: float | None = Field(None, description="default: the null")
    margin: float | None = None

    @property
    def bar(self) -> float:
        """What the estimate must reach."""
        return self.null_value if self.threshold is None else self.threshold

    @model_validator(mode="after")
    def _judged_in_one_way(self) -> Self:
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


class Floor(_Frozen):
    """Below this mean over runs there is nothing that the claim could be about."""

    label: str
    statistic: Cells
    at_least: float


class Claim(_Frozen):
    """One falsifiable statement.

    `needs` says in words which tables, rows and landmarks it is read from. With `other_tasks` it is
    about each of the studies of other tasks, and no study alone can show it.
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

    @model_validator(mode="after")
    def _tested_or_not(self) -> Self:
        if bool(self.parts) == bool(self.not_testable):
            raise ValueError(
                f"claim {self.id}: {len(self.parts)} parts, not_testable = {self.not_testable}; "
                "expected parts, or the reason why there are none"
            )
        return self


class Claims(_Frozen):
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
