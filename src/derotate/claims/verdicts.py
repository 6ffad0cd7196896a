# SPDX-License-Identifier: MIT
"""Claims and tables in, one verdict a claim out.

A claim is supported if all of its parts hold, and contradicted if one is refuted: its p-value for
is the largest of its parts (intersection-union, Berger 1982), that against the smallest times their
number. Over the primary claims p-values are adjusted by Holm, over the others by Benjamini and
Hochberg; a claim without a p-value counts with 1, so that losing a cell makes nothing easier.
Effects that point different ways in different bases decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from types import MappingProxyType
from typing import Literal

import pandas as pd
from statsmodels.stats.multitest import multipletests

from derotate.analysis.run_level_inference import LEVEL
from derotate.claims.cells import MissingCells, Tables
from derotate.claims.effects import effects
from derotate.claims.hypothesis_tests import Combine, Judged, combine, judge
from derotate.claims.schema import Claim

Verdict = Literal["supported", "contradicted", "undecided", "not testable"]

COLUMNS = [
    "claim", "title", "primary", "verdict", "part", "test", "unit", "effect", "low", "high", "null",
    "threshold", "margin", "n", "clusters", "runs", "bases", "p", "p_adjusted", "adjustment", "mde",
    "runs_needed", "reason",
]  # fmt: skip
PART_COLUMNS = ["claim", *COLUMNS[4:17], "p_for", "p_against", "mde", "runs_needed", "covers"]


@dataclass(frozen=True)
class Examined:
    """A claim and what was found of its parts.

    Attributes:
        claim: the claim.
        parts: its parts, judged; none if it could not be tested.
        obstacle: why not: the verdict that follows, and the reason.
        note: what a reader must know beside the verdict.
    """

    claim: Claim
    parts: tuple[Judged, ...] = ()
    obstacle: tuple[Verdict, str] | None = None
    note: str = ""

    @property
    def p_for(self) -> float:
        """That all parts hold."""
        return max(part.p_for for part in self.parts)

    @property
    def p_against(self) -> float:
        """That one of them is refuted."""
        return min(1.0, len(self.parts) * min(part.p_against for part in self.parts))

    @property
    def holds(self) -> bool:
        """Whether the estimates agree with the claim, certain or not."""
        return all(part.holds for part in self.parts)

    @property
    def refuted_part(self) -> Judged:
        """The part with the strongest evidence against it."""
        return min(self.parts, key=lambda part: (not part.fails, part.p_against))

    @property
    def p(self) -> float:
        """Of the direction that the estimates point to; NaN without parts."""
        if not self.parts:
            return nan
        if self.holds:
            return self.p_for
        return self.p_against if self.refuted_part.fails else min(self.p_for, self.p_against)

    def verdict(self, p: float) -> Verdict:
        """The verdict at a p-value, adjusted or not."""
        if self.obstacle is not None:
            return self.obstacle[0]
        if p < LEVEL and self.holds:
            return "supported"
        return "contradicted" if p < LEVEL and self.refuted_part.fails else "undecided"


def examine(
    claim: Claim,
    tables: Tables,
    others: Mapping[str, Tables] = MappingProxyType({}),
    combine: Combine = combine,
) -> Examined:
    """What the tables say about one claim, before other claims count.

    Args:
        claim: the claim.
        tables: of the study.
        others: those of studies of other tasks, by task.
        combine: how the effects of runs become one.
    """
    if claim.other_tasks:
        return _examine_each(claim, others, combine)
    return _examine(claim, tables, combine)


def _examine_each(claim: Claim, others: Mapping[str, Tables], combine: Combine) -> Examined:
    """A claim about other tasks: all of its parts on each task of which it can be asked."""
    parts: list[Judged] = []
    missing: list[str] = []
    left_out: list[str] = []
    for task, tables in others.items():
        found = _examine(claim, tables, combine)
        if found.obstacle is None:
            parts += [
                replace(judged, part=judged.part.model_copy(update={"label": f"{task}: {label}"}))
                for judged in found.parts
                for label in [judged.part.label]
            ]
            continue
        verdict, reason = found.obstacle
        (left_out if verdict == "not testable" else missing).append(f"{task}: {reason}")
    if missing:
        return Examined(claim, obstacle=("undecided", "; ".join(missing)))
    if not parts:
        reason = "; ".join(left_out) or "there is no study of another task beside this one"
        return Examined(claim, obstacle=("not testable", reason))
    return Examined(
        claim, tuple(parts), note=f"left out: {'; '.join(left_out)}" if left_out else ""
    )


def _examine(claim: Claim, tables: Tables, combine: Combine) -> Examined:
    if claim.not_testable is not None:
        return Examined(claim, obstacle=("not testable", claim.not_testable))
    missing: dict[str, None] = {}
    low: list[str] = []
    parts: list[Judged] = []
    for floor in claim.floors:
        try:
            mean = combine(effects(floor.statistic, tables)).mean
        except MissingCells as error:
            missing |= dict.fromkeys(error.cells)
        else:
            if mean < floor.at_least:
                low.append(f"{floor.label} is {mean:.1f}, expected at least {floor.at_least:g}")
    for part in claim.parts:
        try:
            parts += judge(part, tables, combine)
        except MissingCells as error:
            missing |= dict.fromkeys(error.cells)
    if low:
        return Examined(claim, obstacle=("not testable", f"floor: {'; '.join(low)}"))
    if missing:
        return Examined(claim, obstacle=("undecided", f"missing: {MissingCells(list(missing))}"))
    return Examined(claim, tuple(parts))


def verdicts(
    claims: Sequence[Claim], tables: Tables, others: Mapping[str, Tables] = MappingProxyType({})
) -> pd.DataFrame:
    """One row a claim, in their order, whatever the tables lack.

    Numbers are those of one part, named in `part`: of a supported claim the first, of a
    contradicted one the part refuted, of an undecided one the part that holds it up. Effects have
    the unit named; intervals are at 95 %, for equivalence at 90 %. `p` is two-sided except for
    equivalence (TOST); `mde` is found with 80 % power by an unadjusted test.

    Returns:
        The columns `COLUMNS`.
    """
    examined = [examine(claim, tables, others) for claim in claims]
    adjusted = _adjusted(examined)
    rows = [_row(item, adjusted[item.claim.id]) for item in examined]
    return pd.DataFrame(rows, columns=COLUMNS).astype(
        dict.fromkeys(["n", "clusters", "runs", "bases", "runs_needed"], "Int64")
    )


def parts_table(
    claims: Sequence[Claim], tables: Tables, others: Mapping[str, Tables] = MappingProxyType({})
) -> pd.DataFrame:
    """One row a part of each claim that could be tested, with unadjusted p-values.

    Returns:
        The columns `PART_COLUMNS`.
    """
    rows = [
        {"claim": claim.id, **_numbers(part), "p_for": part.p_for, "p_against": part.p_against,
         "covers": part.covers}
        for claim in claims
        for part in examine(claim, tables, others).parts
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=PART_COLUMNS).astype(
        dict.fromkeys(["n", "clusters", "runs", "bases", "runs_needed"], "Int64")
    )


def _adjusted(examined: Sequence[Examined]) -> dict[str, float]:
    """Adjusted p-value by claim."""
    found: dict[str, float] = {}
    for primary in (True, False):
        family = [item for item in examined if item.claim.primary == primary]
        known = [1.0 if item.p != item.p else item.p for item in family]
        if known:
            method = "holm" if primary else "fdr_bh"
            values = multipletests(known, LEVEL, method)[1]
            ids = [item.claim.id for item in family]
            found |= {name: float(value) for name, value in zip(ids, values, strict=True)}
    return found


def _row(item: Examined, adjusted: float) -> dict[str, object]:
    claim, verdict = item.claim, item.verdict(adjusted)
    row: dict[str, object] = {
        "claim": claim.id,
        "title": claim.title,
        "primary": claim.primary,
        "verdict": verdict,
        "adjustment": "Holm" if claim.primary else "Benjamini-Hochberg",
    }
    if item.obstacle is not None:
        return {**row, "reason": item.obstacle[1]}
    shown = _shown(item, verdict)
    reason = "; ".join(filter(None, [_reason(item, shown, verdict, adjusted), item.note]))
    return {**row, **_numbers(shown), "p": item.p, "p_adjusted": adjusted, "reason": reason}


def _shown(item: Examined, verdict: Verdict) -> Judged:
    if verdict == "supported":
        return item.parts[0]
    if verdict == "contradicted":
        return item.refuted_part
    return max(item.parts, key=lambda part: (not part.holds, part.p_for))


def _numbers(part: Judged) -> dict[str, object]:
    return {
        "part": part.part.label,
        "test": part.part.test,
        "unit": part.part.unit,
        "effect": part.effect,
        "low": part.low,
        "high": part.high,
        "null": part.part.null_value,
        "threshold": part.part.threshold,
        "margin": part.part.margin,
        "n": part.n or None,
        "clusters": part.clusters or None,
        "runs": part.runs,
        "bases": part.bases,
        "mde": part.mde,
        "runs_needed": part.runs_needed,
    }


def _reason(item: Examined, shown: Judged, verdict: Verdict, adjusted: float) -> str:
    scope = f"speaks about {shown.covers}, these bases"
    if verdict == "supported":
        count = f"all {len(item.parts)} parts hold" if len(item.parts) > 1 else "the part holds"
        return f"{count}; {scope}"
    if verdict == "contradicted":
        return f"refuted: {shown.part.label}; {scope}"
    if shown.runs == shown.bases:
        return f"{shown.part.label}: one run a base; two or more would show how much seeds differ"
    if not shown.holds and not shown.fails:
        why = "bases or threshold disagree with the mean"
    elif min(item.p_for, item.p_against) < LEVEL <= adjusted:
        why = "not beyond doubt once the other claims are counted"
    else:
        why = "the interval leaves both open"
    needed = (
        f"about {shown.runs_needed} runs would decide it alone at this effect"
        if shown.runs_needed
        else "no number of runs would decide it at this effect, more problems might"
    )
    return f"{shown.part.label}: {why}; {needed}; {scope}"
