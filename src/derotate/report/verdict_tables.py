# SPDX-License-Identifier: MIT
"""Claims and their parts as tables: effects, intervals, hypotheses and p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate.claims.schema import Claim
from derotate.claims.verdicts import Verdict
from derotate.report.format import NOTHING, count, interval, number, p_value
from derotate.report.markdown import anchor, table
from derotate.report.sources import VERDICTS, Sources

_COLUMNS: Final = (
    "claim", "deciding part", "effect", "CI", "H0", "threshold", "p", "adjusted p",
    "runs (bases)", "n (clusters)", "MDE",
)  # fmt: skip
_ONE_DIGIT: Final = ("points", "percent", "degrees")


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict, for the prose of the page.

    Attributes:
        claim: as stated.
        row: its row of claims.csv.
        sentence: what the wording says for its verdict.
        reason: why it has that verdict; empty if the table gives none.
    """

    claim: Claim
    row: pd.Series
    sentence: str
    reason: str

    @property
    def anchor(self) -> str:
        """Its anchor on the page."""
        return anchor(self.claim.id)

    @property
    def verdict(self) -> Verdict:
        """Its verdict."""
        return self.row["verdict"]

    @property
    def decided(self) -> bool:
        """Whether it is supported or contradicted."""
        return self.verdict in ("supported", "contradicted")

    @property
    def estimated(self) -> bool:
        """Whether it has an effect."""
        return bool(pd.notna(self.row["effect"]))

    @property
    def missing(self) -> bool:
        """Whether cells that it is computed from are missing."""
        return str(self.row["reason"]).startswith("missing")

    @property
    def runs_needed(self) -> int | None:
        """Runs that would decide it at this effect; None if no number of runs would."""
        return None if pd.isna(self.row["runs_needed"]) else int(self.row["runs_needed"])

    @property
    def runs(self) -> int:
        """Runs behind its effect."""
        return int(self.row["runs"])


def judged(sources: Sources) -> dict[str, Judged]:
    """Every claim by its name, in the order of claims.yaml."""
    return {
        claim.id: Judged(
            claim,
            row := sources.verdict(claim.id),
            sources.sentence(claim.id),
            sources.wording.reason(str(row["reason"])),
        )
        for claim in sources.claims
    }


@dataclass(frozen=True)
class Group:
    """The claims with one verdict, the primary ones first, and their numbers as a table."""

    verdict: Verdict
    claims: tuple[Judged, ...]
    table: str


def groups(claims: dict[str, Judged]) -> list[Group]:
    """All claims by verdict."""
    result = []
    for verdict in VERDICTS:
        own = [claim for claim in claims.values() if claim.verdict == verdict]
        own.sort(key=lambda claim: not claim.claim.primary)
        rows = [_numbers(claim.row) for claim in own if claim.estimated]
        result.append(Group(verdict, tuple(own), table(_COLUMNS, rows) if rows else ""))
    return result


def parts_table(parts: pd.DataFrame) -> str:
    """Every part of every claim with unadjusted p-values; empty if there is none."""
    if parts.empty:
        return ""
    rows = []
    for _, row in parts.iterrows():
        shown = _numbers(row.reindex([*row.index, "p", "p_adjusted"]))
        rows.append([*shown[:6], p_value(row["p_for"]), p_value(row["p_against"]), *shown[8:]])
    columns = [
        "claim", "part", *_COLUMNS[2:6], "p (H0: does not hold)", "p (H0: holds)", *_COLUMNS[8:]
    ]  # fmt: skip
    return table(columns, rows)


def _numbers(row: pd.Series) -> list[str]:
    places = digits(row)
    name = f"**{row['claim']}**" if row.get("primary", False) else str(row["claim"])
    return [
        name,
        str(row["part"]),
        f"{number(row['effect'], places)} {row['unit']}",
        interval(row["low"], row["high"], places),
        null_hypothesis(row),
        threshold(row),
        p_value(row["p"]),
        p_value(row["p_adjusted"]),
        f"{count(row['runs'])} ({count(row['bases'])})",
        NOTHING if pd.isna(row["n"]) else f"{count(row['n'])} ({count(row['clusters'])})",
        number(row["mde"], places),
    ]


def digits(row: pd.Series) -> int:
    """Decimals of an effect, by its unit."""
    return 1 if row["unit"] in _ONE_DIGIT else 2


def null_hypothesis(row: pd.Series) -> str:
    """The effect under the null hypothesis."""
    if row["test"] == "equivalent":
        return f"|effect| ≥ {row['margin']:g}"
    return f"{'≤' if row['test'] == 'more' else '≥'} {row['null']:g}"


def threshold(row: pd.Series) -> str:
    """The effect that the claim requires."""
    if row["test"] == "equivalent":
        return f"|effect| < {row['margin']:g}"
    if pd.isna(row["threshold"]):
        return NOTHING
    return f"{'≥' if row['test'] == 'more' else '≤'} {row['threshold']:g}"


def problems_exhausted(sources: Sources) -> bool:
    """Whether every suite evaluates all problems of its fold."""
    suites = sources.config.get("evaluation", {}).get("suites", [])
    stages = sources.tables.get("stages")
    if stages is None or not suites:
        return False
    evaluated = stages.groupby(["split", "fold"])["n"].min()
    limited = [suite for suite in suites if suite.get("limit") is not None]
    return all(
        evaluated.get((suite["split"], suite["fold"]), suite["limit"]) < suite["limit"]
        for suite in limited
    )


def minutes_of_jobs(sources: Sources) -> float | None:
    """Minutes that all jobs of the study took; None if that was not recorded."""
    budget = sources.tables.get("budget")
    if budget is None or not (budget["stage"] == "all").any():
        return None
    return float(budget.loc[budget["stage"] == "all", "took_minutes"].iloc[0])
