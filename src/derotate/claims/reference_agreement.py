# SPDX-License-Identifier: MIT
"""Comparison of a study with the reference: each number beside its own, with a tolerance.

The same seeds on the same type of machine give the same bytes, so there the tolerance is 0
(`exact`). On another type of machine rounding differs and training amplifies it. Other seeds are
new runs. Then the tolerance is the half-width of the 95 % interval of a difference of two
independent results:

- The intervals of the tables cover the sampling of problems. Those of both sides are combined by
  the square-root rule for a difference (MOVER; Zou and Donner 2008), each by the end that faces the
  other value.
- The variance between runs is added: t^2 s^2 (1/R + 1/R'). s^2 is the variance of single seeds
  around the mean of their base and study, with its degrees of freedom; R and R' are the seeds
  behind the two values. With one seed per base s^2 is unknown and left out.
- Two studies agree if the accuracies of the stages and the contrasts that claims are read from
  agree. Their tolerance is widened by the ratio of normal quantiles of a Bonferroni correction for
  their number, so that two valid studies disagree in at most 5 % of cases.

The thousands of other contrasts have the same tolerance and decide only under `exact`. Some exceed
it by chance, and far where an edit breaks the model for one seed and not for another. Both studies
have the same problems, so problem effects cancel in part although they are counted: the tolerance
is conservative. Verdicts agree unless they are opposite; `undecided` opposes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from derotate.analysis.select_rows import POOLED
from derotate.analysis.table_schemas.reading import read_tables
from derotate.claims.cells import RL_END
from derotate.claims.schema import Claim, load_claims

LEVEL: Final = 0.05
RATES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "stages": ("accuracy", ("landmark", "split", "fold")),
        "contrasts": (
            "points",
            ("contrast", "direction", "treatment", "reference", "split", "fold"),
        ),
    }
)
"""Tables of numbers: the column that is compared, and the key of a row beside base and seed."""
VERDICTS: Final = "claims"
OPPOSITE: Final = frozenset({"supported", "contradicted"})

COLUMNS: Final = (
    "table", "base_seed", "seed", "row", "claims", "value", "reference", "difference", "tolerance",
    "equal", "within", "decides",
)  # fmt: skip

_RUN = ["base_seed", "seed"]


class AgreementError(ValueError):
    """Tables that cannot be compared; one line with the file and what was expected."""


def agreement(new: Path, reference: Path, *, exact: bool = False) -> pd.DataFrame:
    """Compare the tables of two folders, row by row.

    If both have the same seeds on each base that they share, each seed's row is compared and the
    pooled ones; otherwise the pooled rows alone.

    Args:
        new: folder with stages.csv, contrasts.csv and claims.csv of a run.
        reference: folder with those of the reference.
        exact: whether only equal numbers and verdicts agree, as is expected of the same seeds on
            the same type of machine.

    Returns:
        Columns `COLUMNS`. Numbers are in percent or points; `value` and `reference` are texts where
        the table is `claims`. `claims` names those that read a contrast. `equal` is value and
        interval as written. A row that one side lacks has no difference; it is within tolerance
        unless `exact` is asked for, since studies with other settings have other rows. The studies
        agree if all rows that decide are within.

    Raises:
        AgreementError: a table or column is missing, or no base is in both.
        ValueError: impossible values, see `derotate.analysis.table_schemas.reading.validate`.
    """
    own, other = _read(new), _read(reference)
    parts = [_rates(name, own[name], other[name], exact) for name in RATES]
    numbers = pd.concat(parts, ignore_index=True)
    numbers["decides"] = exact | (numbers["table"] == "stages") | (numbers["claims"] != "")
    if not exact:
        compared = numbers["difference"].notna()
        numbers["tolerance"] *= _widening(int((compared & numbers["decides"]).sum()))
        outside = numbers["difference"].abs() > numbers["tolerance"]
        numbers["within"] = numbers["equal"] | ~compared | ~outside
    verdicts = _verdicts(own[VERDICTS], other[VERDICTS], exact)
    table = pd.concat([numbers, verdicts], ignore_index=True)[list(COLUMNS)]
    return table.astype({"base_seed": "Int64"})


def _read(folder: Path) -> dict[str, pd.DataFrame]:
    """The three tables of a folder, validated."""
    known = read_tables(folder)
    path = folder / f"{VERDICTS}.csv"
    if path.is_file():
        known[VERDICTS] = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = {
        name: [*_RUN, *keys, "seeds", value, "low", "high"] for name, (value, keys) in RATES.items()
    }
    for name, expected in {**columns, VERDICTS: ["claim", "verdict"]}.items():
        place = folder / f"{name}.csv"
        if name not in known:
            raise AgreementError(
                f"{place}: no such table; expected the tables of a finished study, e.g. "
                "results/tiny/tables"
            )
        lacking = [column for column in expected if column not in known[name]]
        if lacking:
            raise AgreementError(
                f"{place}: no column {lacking[0]}, expected {', '.join(expected)}; make the table "
                "again with this version"
            )
    return known


def _rates(name: str, new: pd.DataFrame, old: pd.DataFrame, exact: bool) -> pd.DataFrame:
    """One table of numbers; tolerances before the Bonferroni widening."""
    column, keys = RATES[name]
    bases = sorted(set(new["base_seed"]) & set(old["base_seed"]))
    if not bases:
        raise AgreementError(
            f"{name}.csv: no base in both, the new run has {_listed(new)} and the reference "
            f"{_listed(old)}; run a base of the reference"
        )
    new, old = (side[side["base_seed"].isin(bases)] for side in (new, old))
    same = _runs(new) == _runs(old)
    spread = _spread([old] if same else [new, old], column, list(keys))
    if not same:
        new, old = (side[side["seed"] == POOLED] for side in (new, old))
    names = [*_RUN, *keys]
    columns = [*names, "seeds", column, "low", "high"]
    both = new[columns].merge(old[columns], how="outer", on=names, suffixes=("", "_old"))
    both = both.merge(spread, how="left", on=list(keys))
    value, reference = both[column], both[f"{column}_old"]
    ends = [column, "low", "high"]
    equal = np.logical_and.reduce(
        [(both[end] == both[f"{end}_old"]) | (both[end].isna() & both[f"{end}_old"].isna())
         for end in ends]
    )  # fmt: skip
    texts = both[list(keys)].astype(str)
    return pd.DataFrame(
        {
            "table": name,
            "base_seed": both["base_seed"],
            "seed": both["seed"],
            "row": texts.agg(" ".join, axis=1).str.split().str.join(" "),
            "claims": _read_by(texts, load_claims()) if name == "contrasts" else "",
            "value": value,
            "reference": reference,
            "difference": value - reference,
            "tolerance": 0.0 if exact else _tolerance(both, column),
            "equal": equal,
            "within": equal,
        }
    )


def _read_by(rows: pd.DataFrame, claims: Sequence[Claim]) -> list[str]:
    """Ids of the claims that are read from each row of the contrasts; empty: none."""
    patterns = [(claim.id, where) for claim in claims for where in _contrasts_of(claim)]
    readers: dict[tuple[str, ...], str] = {}
    for row in set(rows.itertuples(index=False, name=None)):
        named = dict(zip(rows.columns, row, strict=True))
        names = [
            name
            for name, where in patterns
            if all(fnmatch(named[key], pattern) for key, pattern in where.items())
        ]
        readers[row] = " ".join(dict.fromkeys(names))
    return [readers[row] for row in rows.itertuples(index=False, name=None)]


def _contrasts_of(claim: Claim) -> Iterator[dict[str, str]]:
    """Patterns of the contrasts that a claim is read from, by column."""
    for cells in claim.required_cells():
        if cells.table == "contrasts":
            yield {key: str(value).replace(RL_END, "rl-*") for key, value in cells.where.items()}


def _tolerance(both: pd.DataFrame, column: str) -> pd.Series:
    """Half-width of the 95 % interval of the difference; missing where a side is missing."""
    value, old = both[column], both[f"{column}_old"]
    above = value >= old
    own = (value - both["low"]).where(above, both["high"] - value)
    other = (both["high_old"] - old).where(above, old - both["low_old"])
    seeds = 1 / both["seeds"].clip(lower=1) + 1 / both["seeds_old"].clip(lower=1)
    reach = pd.Series(stats.t.isf(LEVEL / 2, both["df"]), index=both.index)
    between = (reach**2 * both["variance"]).fillna(0.0) * seeds
    # An interval without ends is unknown: only the variance between runs is left.
    problems = own.fillna(0.0) ** 2 + other.fillna(0.0) ** 2
    return np.sqrt(problems + between).where(value.notna() & old.notna())


def _spread(sides: list[pd.DataFrame], column: str, keys: list[str]) -> pd.DataFrame:
    """Variance of single seeds around the mean of their base and study, with its df, by row."""
    single = pd.concat(
        [side[side["seed"] != POOLED].assign(side=place) for place, side in enumerate(sides)]
    )
    groups = single.groupby([*keys, "side", "base_seed"])[column].agg(["var", "count"])
    groups["df"] = groups["count"] - 1
    groups["sum"] = groups["var"].fillna(0.0) * groups["df"]
    pooled = groups.groupby(keys)[["sum", "df"]].sum().reset_index()
    pooled["variance"] = pooled["sum"] / pooled["df"].replace(0, np.nan)
    return pooled.drop(columns="sum")


def _verdicts(new: pd.DataFrame, old: pd.DataFrame, exact: bool) -> pd.DataFrame:
    """One row per claim; verdicts agree unless they are opposite."""
    both = new[["claim", "verdict"]].merge(
        old[["claim", "verdict"]], how="outer", on="claim", suffixes=("", "_old")
    )
    equal = both["verdict"] == both["verdict_old"]
    opposite = both[["verdict", "verdict_old"]].isin(OPPOSITE).all(axis=1) & ~equal
    table = pd.DataFrame(
        {
            "table": VERDICTS,
            "row": both["claim"],
            "value": both["verdict"],
            "reference": both["verdict_old"],
            "claims": both["claim"],
            "equal": equal,
            "within": equal if exact else ~opposite,
            "decides": True,
        }
    ).reindex(columns=list(COLUMNS))
    return table.sort_values("row", key=lambda names: names.str.removeprefix("C").astype(int))


def _widening(rows: int) -> float:
    """Ratio of the normal quantiles of `rows` tests and of one, both at `LEVEL` (Bonferroni)."""
    return float(stats.norm.isf(LEVEL / 2 / max(rows, 1)) / stats.norm.isf(LEVEL / 2))


def _runs(table: pd.DataFrame) -> set[tuple[int, str]]:
    return set(zip(table["base_seed"], table["seed"], strict=True))


def _listed(table: pd.DataFrame) -> str:
    return ", ".join(map(str, sorted(set(table["base_seed"])))) or "none"
