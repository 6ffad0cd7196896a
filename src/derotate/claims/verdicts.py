# SPDX-License-Identifier: MIT
"""One verdict per claim, from the tables of a study.

A claim is supported if all of its parts hold, and contradicted if one is refuted. Its p-value for
is the largest of its parts (intersection-union test, Berger 1982), that against the smallest times
the number of parts (Bonferroni). The p-values of the primary claims are adjusted by Holm, those of
the others by Benjamini and Hochberg. A claim without a p-value counts as p = 1, so a missing cell
never makes another claim easier to decide. Effects of opposite sign in different bases leave a
claim undecided.
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
from derotate.claims.hypothesis_tests import Combine, PartResult, combine, evaluate_part
from derotate.claims.schema import Claim

Verdict = Literal["supported", "contradicted", "undecided", "not testable"]

COLUMNS = [
    "claim", "title", "primary", "verdict", "part", "test", "unit", "effect", "low", "high", "null",
    "threshold", "margin", "n", "clusters", "runs", "bases", "p", "p_adjusted", "adjustment", "mde",
    "runs_needed", "reason",
]  # fmt: skip
PART_COLUMNS = ["claim", *COLUMNS[4:17], "p_for", "p_against", "mde", "runs_needed", "covers"]


@dataclass(frozen=True)
class ClaimResult:
    """A claim and the results of its parts.

    Attributes:
        claim: the claim.
        parts: results of its parts; none if it could not be tested.
        obstacle: why it could not be tested: the verdict that follows, and the reason.
        note: added to the reason.
    """

    claim: Claim
    parts: tuple[PartResult, ...] = ()
    obstacle: tuple[Verdict, str] | None = None
    note: str = ""

    @property
    def p_for(self) -> float:
        """p-value of H0: some part does not hold."""
        return max(part.p_for for part in self.parts)

    @property
    def p_against(self) -> float:
        """p-value of H0: no part is refuted, Bonferroni-adjusted over the parts."""
        return min(1.0, len(self.parts) * min(part.p_against for part in self.parts))

    @property
    def holds(self) -> bool:
        """Whether the estimates agree with the claim, significant or not."""
        return all(part.holds for part in self.parts)

    @property
    def refuted_part(self) -> PartResult:
        """The part with the strongest evidence against it."""
        return min(self.parts, key=lambda part: (not part.fails, part.p_against))

    @property
    def p(self) -> float:
        """The p-value of the direction that the estimates point to; NaN without parts."""
        if not self.parts:
            return nan
        if self.holds:
            return self.p_for
        return self.p_against if self.refuted_part.fails else min(self.p_for, self.p_against)

    def verdict(self, p: float) -> Verdict:
        """The verdict at a p-value, adjusted for multiple claims or not."""
        if self.obstacle is not None:
            return self.obstacle[0]
        if p < LEVEL and self.holds:
            return "supported"
        return "contradicted" if p < LEVEL and self.refuted_part.fails else "undecided"


def evaluate_claim(
    claim: Claim,
    tables: Tables,
    others: Mapping[str, Tables] = MappingProxyType({}),
    combine: Combine = combine,
) -> ClaimResult:
    """The result of one claim, before adjustment for the other claims.

    Args:
        claim: the claim.
        tables: of the study.
        others: tables of the studies of other tasks, by task.
        combine: how the effects of runs become a mean.
    """
    if claim.other_tasks:
        return _evaluate_tasks(claim, others, combine)
    return _evaluate(claim, tables, combine)


def _evaluate_tasks(claim: Claim, others: Mapping[str, Tables], combine: Combine) -> ClaimResult:
    """A claim about other tasks: all of its parts on each task where it can be tested."""
    parts: list[PartResult] = []
    missing: list[str] = []
    left_out: list[str] = []
    for task, tables in others.items():
        result = _evaluate(claim, tables, combine)
        if result.obstacle is None:
            parts += [
                replace(tested, part=tested.part.model_copy(update={"label": f"{task}: {label}"}))
                for tested in result.parts
                for label in [tested.part.label]
            ]
            continue
        verdict, reason = result.obstacle
        (left_out if verdict == "not testable" else missing).append(f"{task}: {reason}")
    if missing:
        return ClaimResult(claim, obstacle=("undecided", "; ".join(missing)))
    if not parts:
        reason = "; ".join(left_out) or "there is no study of another task beside this one"
        return ClaimResult(claim, obstacle=("not testable", reason))
    return ClaimResult(
        claim, tuple(parts), note=f"left out: {'; '.join(left_out)}" if left_out else ""
    )


def _evaluate(claim: Claim, tables: Tables, combine: Combine) -> ClaimResult:
    if claim.not_testable is not None:
        return ClaimResult(claim, obstacle=("not testable", claim.not_testable))
    missing: dict[str, None] = {}
    low: list[str] = []
    parts: list[PartResult] = []
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
            parts += evaluate_part(part, tables, combine)
        except MissingCells as error:
            missing |= dict.fromkeys(error.cells)
    if low:
        return ClaimResult(claim, obstacle=("not testable", f"floor: {'; '.join(low)}"))
    if missing:
        return ClaimResult(claim, obstacle=("undecided", f"missing: {MissingCells(list(missing))}"))
    return ClaimResult(claim, tuple(parts))


def verdicts(
    claims: Sequence[Claim], tables: Tables, others: Mapping[str, Tables] = MappingProxyType({})
) -> pd.DataFrame:
    """One row per claim, in their order, also for claims whose cells are missing.

    The numbers are those of one part, named in `part`: the first part of a supported claim, the
    refuted part of a contradicted one, and the part with the least evidence of an undecided one.
    Effects have the unit in `unit`. Intervals are at 95 %, for equivalence at 90 %. `p` is
    two-sided except for equivalence (TOST). `mde` is the minimum detectable effect at 80 % power,
    unadjusted.

    Returns:
        The columns `COLUMNS`.
    """
    results = [evaluate_claim(claim, tables, others) for claim in claims]
    adjusted = _adjusted(results)
    rows = [_row(result, adjusted[result.claim.id]) for result in results]
    return pd.DataFrame(rows, columns=COLUMNS).astype(
        dict.fromkeys(["n", "clusters", "runs", "bases", "runs_needed"], "Int64")
    )


def parts_table(
    claims: Sequence[Claim], tables: Tables, others: Mapping[str, Tables] = MappingProxyType({})
) -> pd.DataFrame:
    """One row per part of each claim that could be tested, with unadjusted p-values.

    Returns:
        The columns `PART_COLUMNS`.
    """
    rows = [
        {"claim": claim.id, **_numbers(part), "p_for": part.p_for, "p_against": part.p_against,
         "covers": part.covers}
        for claim in claims
        for part in evaluate_claim(claim, tables, others).parts
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=PART_COLUMNS).astype(
        dict.fromkeys(["n", "clusters", "runs", "bases", "runs_needed"], "Int64")
    )


def _adjusted(results: Sequence[ClaimResult]) -> dict[str, float]:
    """p-values by claim, adjusted within the primary and within the other claims."""
    adjusted: dict[str, float] = {}
    for primary in (True, False):
        family = [item for item in results if item.claim.primary == primary]
        known = [1.0 if item.p != item.p else item.p for item in family]
        if known:
            method = "holm" if primary else "fdr_bh"
            values = multipletests(known, LEVEL, method)[1]
            ids = [item.claim.id for item in family]
            adjusted |= {name: float(value) for name, value in zip(ids, values, strict=True)}
    return adjusted


def _row(item: ClaimResult, adjusted: float) -> dict[str, object]:
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


def _shown(item: ClaimResult, verdict: Verdict) -> PartResult:
    if verdict == "supported":
        return item.parts[0]
    if verdict == "contradicted":
        return item.refuted_part
    return max(item.parts, key=lambda part: (not part.holds, part.p_for))


def _numbers(part: PartResult) -> dict[str, object]:
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


def _reason(item: ClaimResult, shown: PartResult, verdict: Verdict, adjusted: float) -> str:
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
