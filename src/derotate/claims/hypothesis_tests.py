# SPDX-License-Identifier: MIT
"""Tests one part of a claim: its mean effect over runs, its interval and its two p-values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

from derotate.analysis import run_level_inference as between
from derotate.analysis.run_level_inference import RunMean
from derotate.claims.cells import Tables
from derotate.claims.effects import Effects, effects, sums, treatments
from derotate.claims.schema import Cells, Part, Recovered

Combine = Callable[[Effects], RunMean]
"""How the effects of runs become a mean; the calibration also tries wrong ways, to detect them."""


@dataclass(frozen=True)
class PartResult:
    """Estimate and tests of one part.

    Attributes:
        part: the part; of a part with a pattern, the one for this treatment.
        effect: mean over bases of their runs, in the unit of the part.
        low: lower end of the 95 % interval (90 % for equivalence, as TOST has it).
        high: upper end.
        p_for: p-value of H0: the part does not hold; two-sided except for equivalence (TOST).
        p_against: p-value of H0: the part reaches its threshold or is equivalent; two-sided.
        holds: the estimate reaches the threshold, in each base on the side of the part.
        fails: the estimate misses the threshold, in each base.
        mde: minimum detectable distance from the null at 80 % power, unadjusted.
        runs_needed: runs over these bases that would decide at this effect; None beyond a thousand.
        n: problems, 0 where the effect is not counted in problems; likewise `clusters`.
        runs: number of runs.
        bases: number of bases.
        covers: what the interval generalises to, conditional on the bases.
    """

    part: Part
    effect: float
    low: float
    high: float
    p_for: float
    p_against: float
    holds: bool
    fails: bool
    mde: float
    runs_needed: int | None
    n: int
    clusters: int
    runs: int
    bases: int
    covers: str


def combine(by_run: Effects) -> RunMean:
    """The effects of runs as a mean over bases."""
    return between.combine(by_run.runs, by_run.problem_errors, by_run.clusters, by_run.support)


def evaluate_part(part: Part, tables: Tables, combine: Combine = combine) -> list[PartResult]:
    """The result of a part, one per treatment that it matches.

    Raises:
        MissingCells: a run lacks what the statistic needs.
    """
    statistic = part.statistic
    if isinstance(statistic, Recovered):
        return [_ratio(part, statistic, tables, combine)]
    if not isinstance(statistic, Cells):
        return [_mean(part, effects(statistic, tables), combine)]
    return [
        _mean(
            part.model_copy(update={"label": f"{part.label} ({name})"}) if name else part,
            effects(cells, tables),
            combine,
        )
        for name, cells in treatments(statistic, tables)
    ]


def _mean(part: Part, by_run: Effects, combine: Combine) -> PartResult:
    mean = combine(by_run)
    bases = list(mean.base_means.values())
    if part.margin is not None:
        margin = part.margin
        low, high = mean.interval(0.90)
        p_for = between.tost(mean, margin)
        p_against = _two_sided(min(mean.p_above(margin), mean.p_below(-margin)))
        holds = all(abs(value) <= margin for value in bases)
        fails = min(bases) > margin or max(bases) < -margin
        distance = abs(margin - abs(mean.mean))
    else:
        # "less" is "more" with all signs reversed.
        sign = 1 if part.test == "more" else -1
        tails = (mean.p_above, mean.p_below)[::sign]
        low, high = mean.interval()
        p_for, p_against = _two_sided(tails[0](part.null_value)), _two_sided(tails[1](part.bar))
        reaches = sign * (mean.mean - part.bar) >= 0
        holds = reaches and all(sign * (value - part.null_value) > 0 for value in bases)
        fails = not reaches and all(sign * (value - part.bar) < 0 for value in bases)
        distance = abs(mean.mean - (part.null_value if reaches else part.bar))
    return PartResult(
        part=part,
        effect=mean.mean,
        low=low,
        high=high,
        p_for=p_for,
        p_against=p_against,
        holds=holds,
        fails=fails,
        mde=between.minimum_detectable_effect(mean),
        runs_needed=between.runs_needed(mean, distance),
        n=by_run.n,
        clusters=by_run.clusters,
        runs=mean.runs,
        bases=len(bases),
        covers=mean.covers,
    )


def _ratio(part: Part, statistic: Recovered, tables: Tables, combine: Combine) -> PartResult:
    """A ratio a / b, tested by Fieller: a / b > rho as a - rho b > 0, for b significantly above 0.

    If b may be 0 the interval is unbounded and the part stays undecided.
    """
    numerator, denominator = (
        sums(terms, tables) for terms in (statistic.numerator, statistic.denominator)
    )
    a, b = combine(numerator), combine(denominator)
    value = a.mean / b.mean if b.mean else nan
    at_value = combine(_minus(numerator, denominator, value if isfinite(value) else 0.0))
    ratio = between.fieller(a, b, _covariance(numerator, denominator, combine), at_value.df)
    linear = {bar: _mean(_linear(part), _minus(numerator, denominator, bar), combine)
              for bar in (part.null_value, part.bar)}  # fmt: skip
    decidable = isfinite(ratio.low) and b.mean > 0
    sign = 1 if part.test == "more" else -1
    reaches = sign * (value - part.bar) >= 0
    nearest = linear[part.null_value if reaches else part.bar]
    return replace(
        nearest,
        part=part,
        effect=value,
        low=ratio.low,
        high=ratio.high,
        p_for=linear[part.null_value].p_for if decidable else 1.0,
        p_against=linear[part.bar].p_against if decidable else 1.0,
        holds=reaches and linear[part.null_value].holds,
        fails=not reaches and linear[part.bar].fails,
        mde=between.minimum_detectable_effect(at_value) / abs(b.mean) if b.mean else inf,
    )


def _linear(part: Part) -> Part:
    """The part as a test of a - rho b against 0."""
    return part.model_copy(update={"null_value": 0.0, "threshold": None})


def _minus(a: Effects, b: Effects, ratio: float) -> Effects:
    """a - ratio b of each run.

    The standard errors are added, which bounds that of the difference whatever their dependence.
    """
    errors = None
    if a.problem_errors is not None and b.problem_errors is not None:
        errors = {
            base: error + abs(ratio) * b.problem_errors[base]
            for base, error in a.problem_errors.items()
        }
    effect = a.runs["effect"] - ratio * b.runs["effect"]
    return Effects(a.runs.assign(effect=effect), errors, a.n, min(a.clusters, b.clusters))


def _covariance(numerator: Effects, denominator: Effects, combine: Combine) -> float:
    """Covariance of the two means: over runs as estimated, over problems the worst case.

    The worst case for the interval of a ratio is perfect correlation against its sign.
    """
    a, b = combine(numerator), combine(denominator)
    # Var(a + b) = Var(a) + Var(b) + 2 Cov(a, b), over runs.
    both = combine(_minus(numerator, denominator, -1.0))
    runs = (both.run_variance - a.run_variance - b.run_variance) / 2
    sign = 1 if a.mean * b.mean >= 0 else -1
    return runs - sign * (a.problem_variance * b.problem_variance) ** 0.5


def _two_sided(tail: float) -> float:
    return min(1.0, 2 * tail)
