# SPDX-License-Identifier: MIT
"""Schemas of the papers' numbers: `results/published/<subject>.csv` and `settings.csv`.

All fields are read as text, since the printed digits count: `on_grid` says whether they can be a
count of n problems.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd
import pandera.pandas as pa

from derotate.analysis.table_schemas.columns import matching, table, text

_WHOLE: Final = r"(\d+(\.0*)?)?"
_NUMBER: Final = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_RANGES: Final = (("%", 0.0, 100.0), ("share", 0.0, 1.0), ("degrees", 0.0, 90.0))
_CLAIM: Final = r"C([1-9]|1[0-8])"

_PLACE: Final = {
    "paper": text("arXiv number", missing=False),
    "version": text("version of the paper, or repository", missing=False),
    "place": text("table, figure, section or released file", missing=False),
    "source": text(
        "how the number was obtained",
        ("code", "file", "vector", "figure", "abstract", "third_party", "recalled"),
        missing=False,
    ),
    "model": text("model"),
    "task": text("task"),
}
_CERTAINTY: Final = {
    "exact": text("yes; plot: read by eye; about: approximate", ("yes", "plot", "about")),
    "certain": text("no: not seen first-hand, or in doubt", ("yes", "no")),
}


@dataclass(frozen=True)
class NearestCount:
    """The count that a rate comes nearest to.

    Attributes:
        count: k of n.
        reached: whether 100 k / n, rounded as the rate was, is the rate.
        chance: how often a random number with as many digits would be reached.
    """

    count: int
    reached: bool
    chance: float


def nearest_count(percent: str, n: int) -> NearestCount:
    """Whether a rate in percent, as printed, is a count out of `n`.

    The printed digits stand for all numbers within half a unit of the last one. With n = 234 the
    counts lie 0.427 points apart: one digit after the point is reached by chance in 23 % of cases,
    two digits in 2 %.

    Args:
        percent: as printed, e.g. `17.52`; its digits count.
        n: problems, above 0.
    """
    half = 0.5 * 10.0 ** -len(percent.partition(".")[2])
    count = round(float(percent) * n / 100)
    reached = abs(100 * count / n - float(percent)) <= half + 1e-9
    return NearestCount(count, reached, min(1.0, 2 * half * n / 100))


def _within(unit: str, low: float, high: float) -> pa.Check:
    """Values of a unit lie within its range."""

    def check(numbers: pd.DataFrame) -> pd.Series:
        values = pd.to_numeric(numbers["value"], errors="coerce")
        return (numbers["unit"] != unit) | values.between(low, high) | values.isna()

    return pa.Check(check, name="value", error=f"{low:g} to {high:g}, since the unit is {unit}")


def _counted(numbers: pd.DataFrame) -> pd.Series:
    """`on_grid` needs a count of problems."""
    return (numbers["on_grid"] == "") | (pd.to_numeric(numbers["n"], errors="coerce") > 0)


def _on_grid(stated: str) -> pa.Check:
    """`on_grid` is what the printed digits give."""

    def right(row: tuple[str, str, str]) -> bool:
        value, n, on_grid = row
        try:
            known = nearest_count(value, int(float(n)))
        except (ValueError, ZeroDivisionError):  # refused by another check
            return True
        return on_grid != stated or known.reached == (stated == "yes")

    def check(numbers: pd.DataFrame) -> pd.Series:
        rows = numbers[["value", "n", "on_grid"]].itertuples(index=False, name=None)
        return pd.Series([right(row) for row in rows], index=numbers.index, dtype=bool)

    other = (
        "no, since no count of n gives the value"
        if stated == "yes"
        else ("yes, since a count of n gives the value")
    )
    return pa.Check(check, name="on_grid", error=other)


NUMBERS: Final = table(
    "One row per number that a paper or its released files report",
    {
        **_PLACE,
        "quantity": text("what is measured"),
        "split": text("split"),
        "matrix": text("kind of matrix"),
        "recipe": text("stage or surgery recipe"),
        "start": matching(_WHOLE, "SFT step that RL starts from", "a whole number from 0 on"),
        "step": matching(_WHOLE, "training step", "a whole number from 0 on"),
        "index": matching(
            _WHOLE,
            "place in a spectrum, or number of vectors or values",
            "a whole number from 0 on",
        ),
        "bound": text("end of a range", ("", "from", "to", "below", "above")),
        "value": matching(_NUMBER, "the number as printed", "a number"),
        "unit": text("%, share, degrees, nats, points, ...; 1: none"),
        "n": matching(_WHOLE, "problems behind a rate", "a whole number from 0 on"),
        "on_grid": text("whether the printed digits can be a count of n", ("", "yes", "no")),
        **_CERTAINTY,
        "claims": matching(
            rf"({_CLAIM}( {_CLAIM})*)?", "claims that it bears on", "ids of claims, C1 to C18"
        ),
        "note": text("doubts and definitions"),
    },
    "paper version place model task quantity split matrix recipe start step index bound",
    made_by="hand",
    read_by="rules figures, reexamination; findings and reproducing pages",
    checks=[
        *(_within(*limits) for limits in _RANGES),
        pa.Check(_counted, name="n", error="the number of problems, which on_grid needs"),
        _on_grid("yes"),
        _on_grid("no"),
    ],
)

SETTINGS: Final = table(
    "One row per hyper-parameter or setting of a paper",
    {
        **_PLACE,
        "stage": text("model, sft, rl, ..."),
        "setting": text("name of the setting"),
        "value": text("a number or words", missing=False),
        "unit": text("unit of a number"),
        **_CERTAINTY,
        "note": text("doubts and definitions"),
    },
    "paper version place model task stage setting",
    made_by="hand",
    read_by="readers",
)
