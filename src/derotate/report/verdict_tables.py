# SPDX-License-Identifier: MIT
"""Every claim with its verdict: the primary ones decided or not, then all of them by verdict."""

from __future__ import annotations

from typing import Final

import pandas as pd

from derotate.analysis.run_level_inference import POWER
from derotate.claims.verdicts import Verdict
from derotate.report.format import (
    NOTHING,
    anchor,
    details,
    interval,
    number,
    p_value,
    percent,
    sentence,
    table,
    whole,
)
from derotate.report.sources import VERDICTS, Sources

HEADINGS: Final[dict[Verdict, str]] = {
    "supported": "What holds",
    "contradicted": "What does not hold",
    "undecided": "What stayed undecided",
    "not testable": "What could not be tested",
}
_COLUMNS: Final = [
    "claim", "decided on", "effect", "interval", "null", "threshold", "p", "p adjusted",
    "runs (bases)", "n (sets)", "detectable",
]  # fmt: skip
_ONE_DIGIT: Final = ("points", "percent", "degrees")


def decisions(sources: Sources) -> list[str]:
    """The primary claims: decided, or what it would take."""
    primary = sources.verdicts[sources.verdicts["primary"].astype(bool)]
    rows = [
        (f"[{row['claim']}](#{anchor(row['claim'])}) {row['title']}", row["verdict"],
         decision(sources, row))
        for _, row in primary.iterrows()
    ]  # fmt: skip
    return [
        "## The primary claims",
        "Named before the study was run. Their p-values are adjusted for each other by Holm's "
        "method, those of the other claims for false discoveries (Benjamini and Hochberg).",
        table(["claim", "verdict", "decided?"], rows),
    ]


def decision(sources: Sources, row: pd.Series) -> str:
    """Whether a claim is decided, else the runs needed and why they were not made."""
    if row["verdict"] in ("supported", "contradicted"):
        return "Decided."
    if pd.isna(row["effect"]) and str(row["reason"]).startswith("missing"):
        return "Not decided: cells are missing, named below."
    if pd.isna(row["effect"]):
        return f"Not decided: {row['reason']}."
    if pd.isna(row["runs_needed"]):
        others = " More problems there are not: all sets of numbers were asked."
        return f"Not decided: {row['reason']}.{others if _all_asked(sources) else ''}"
    needed, have = int(row["runs_needed"]), int(row["runs"])
    return f"Not decided: about {needed} runs needed, {have} made; {_cost(sources, needed, have)}."


def _all_asked(sources: Sources) -> bool:
    """Whether no suite leaves out a number set of its fold."""
    suites = sources.config.get("evaluation", {}).get("suites", [])
    stages = sources.tables.get("stages")
    if stages is None or not suites:
        return False
    asked = stages.groupby(["split", "fold"])["n"].min()
    limited = [suite for suite in suites if suite.get("limit") is not None]
    return all(
        asked.get((suite["split"], suite["fold"]), suite["limit"]) < suite["limit"]
        for suite in limited
    )


def _cost(sources: Sources, needed: int, have: int) -> str:
    budget = sources.tables.get("budget")
    if needed <= have:
        return "by itself it would be, but the other claims count too"
    if budget is None or not (budget["stage"] == "all").any():
        return "more would have taken too long here (what a run took is not recorded)"
    minutes = float(budget.loc[budget["stage"] == "all", "took_minutes"].iloc[0]) / have
    return (
        f"a run took {number(minutes)} minutes of jobs, so that many would have taken "
        f"{number(minutes * needed / 60)} hours here"
    )


def by_verdict(sources: Sources) -> list[str]:
    """All claims, grouped by verdict, the primary ones first in each group."""
    blocks = [
        "## Every claim",
        "*null*: what the data had to speak against; *threshold*: what the effect had to reach; "
        "*n*: problems behind the effect, in sets that share their numbers; *detectable*: "
        f"distance from the null that such a test finds with a power of {percent(POWER)}, before "
        "other claims are counted. Of a claim with several parts the table shows the one that "
        "decides: the first if it holds, the refuted one if it does not, the one in the way if it "
        "is open.",
    ]
    for verdict in VERDICTS:
        own = sources.with_verdict(verdict)
        blocks.append(f"### {HEADINGS[verdict]}")
        if own.empty:
            blocks.append("No claim.")
            continue
        blocks.append("\n".join(_item(sources, row) for _, row in own.iterrows()))
        known = own[own["effect"].notna()]
        if len(known):
            blocks.append(table(_COLUMNS, [_numbers(row) for _, row in known.iterrows()]))
    return [*blocks, _parts(sources)]


def _item(sources: Sources, row: pd.Series) -> str:
    name = row["claim"]
    claim = next(claim for claim in sources.claims if claim.id == name)
    primary = " (primary)" if claim.primary else ""
    return (
        f'- <a id="{anchor(name)}"></a>**{name} {claim.title}**{primary}. {sources.sentence(name)} '
        f"*{_reason(row)}* Claimed in: {claim.source}."
    )


def _reason(row: pd.Series) -> str:
    return sentence(str(row["reason"])) or "No reason was given."


def _numbers(row: pd.Series) -> list[str]:
    digits = 1 if row["unit"] in _ONE_DIGIT else 2
    name = f"**{row['claim']}**" if row.get("primary", False) else str(row["claim"])
    return [
        name,
        str(row["part"]),
        f"{number(row['effect'], digits)} {row['unit']}",
        interval(row["low"], row["high"], digits),
        null(row),
        threshold(row),
        p_value(row["p"]),
        p_value(row["p_adjusted"]),
        f"{whole(row['runs'])} ({whole(row['bases'])})",
        NOTHING if pd.isna(row["n"]) else f"{whole(row['n'])} ({whole(row['clusters'])})",
        number(row["mde"], digits),
    ]


def null(row: pd.Series) -> str:
    """What the data had to speak against."""
    if row["test"] == "equivalent":
        return f"{row['margin']:g} or more, up or down"
    return f"at {'most' if row['test'] == 'more' else 'least'} {row['null']:g}"


def threshold(row: pd.Series) -> str:
    """What the effect had to reach."""
    if row["test"] == "equivalent":
        return f"within {row['margin']:g}"
    if pd.isna(row["threshold"]):
        return NOTHING
    return f"at {'least' if row['test'] == 'more' else 'most'} {row['threshold']:g}"


def _parts(sources: Sources) -> str:
    if sources.parts.empty:
        return "The parts of each claim are not listed: claim_parts.csv is missing or empty."
    rows = []
    for _, row in sources.parts.iterrows():
        shown = _numbers(row.reindex([*row.index, "p", "p_adjusted"]))
        rows.append([*shown[:6], p_value(row["p_for"]), p_value(row["p_against"]), *shown[8:]])
    columns = [*_COLUMNS[:6], "p for", "p against", *_COLUMNS[8:]]
    columns[1] = "part"
    return details("Every part of every claim, before other claims are counted",
                   table(columns, rows))  # fmt: skip
