# SPDX-License-Identifier: MIT
"""Judges one part of a claim: its effect between runs, and how far that is for or against it."""

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
"""How runs are combined; the calibration tries others to show that it would notice them."""


@dataclass(frozen=True)
class Judged:
    """What was found of one part.

    Attributes:
        part: the part, one treatment of it where it is meant for each.
        effect: mean over bases of their runs, in the unit of the part.
        low: lower end of the 95 % interval (90 % for equivalence, as TOST has it).
        high: upper end.
        p_for: of the null that the part does not hold; two-sided except for equivalence.
        p_against: of the null that it reaches its threshold, or lies within its margin; two-sided.
        holds: the estimate reaches the threshold, in each base on the side of the part.
        fails: the estimate misses the threshold, in each base.
        mde: distance from the null that is found with 80 % power, unadjusted.
        runs_needed: runs over these bases that would decide at this effect; None beyond a thousand.
        n: problems, 0 where the effect is not counted in problems; likewise `clusters`.
        runs: number of runs.
        bases: number of bases.
        covers: what the interval speaks about.
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


def combine(found: Effects) -> RunMean:
    """The effects of runs as a mean over bases."""
    return between.combine(found.runs, found.problem_errors, found.clusters, found.support)


def judge(part: Part, tables: Tables, combine: Combine = combine) -> list[Judged]:
    """The part, or each of its treatments, judged.

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


def _mean(part: Part, found: Effects, combine: Combine) -> Judged:
    mean = combine(found)
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
        # A part of "less" is one of "more" with all signs turned.
        sign = 1 if part.test == "more" else -1
        tails = (mean.p_above, mean.p_below)[::sign]
        low, high = mean.interval()
        p_for, p_against = _two_sided(tails[0](part.null_value)), _two_sided(tails[1](part.bar))
        reaches = sign * (mean.mean - part.bar) >= 0
        holds = reaches and all(sign * (value - part.null_value) > 0 for value in bases)
        fails = not reaches and all(sign * (value - part.bar) < 0 for value in bases)
        distance = abs(mean.mean - (part.null_value if reaches else part.bar))
    return Judged(
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
        n=found.n,
        clusters=found.clusters,
        runs=mean.runs,
        bases=len(bases),
        covers=mean.covers,
    )


def _ratio(part: Part, statistic: Recovered, tables: Tables, combine: Combine) -> Judged:
    """a / b > rho is judged as a - rho b > 0 (Fieller), for b > 0 beyond doubt.

    Where the interval has no end because b may be 0, nothing is decided.
    """
    above, below = sums(statistic.numerator, tables), sums(statistic.denominator, tables)
    a, b = combine(above), combine(below)
    value = a.mean / b.mean if b.mean else nan
    at_value = combine(_less(above, below, value if isfinite(value) else 0.0))
    ratio = between.fieller(a, b, _covariance(above, below, combine), at_value.df)
    linear = {bar: _mean(_linear(part), _less(above, below, bar), combine)
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
    """The part as one about a - rho b, whose null is 0."""
    return part.model_copy(update={"null_value": 0.0, "threshold": None})


def _less(above: Effects, below: Effects, ratio: float) -> Effects:
    """a - ratio b of each run; standard errors add up, whatever their dependence."""
    errors = None
    if above.problem_errors is not None and below.problem_errors is not None:
        errors = {
            base: error + abs(ratio) * below.problem_errors[base]
            for base, error in above.problem_errors.items()
        }
    effect = above.runs["effect"] - ratio * below.runs["effect"]
    return Effects(
        above.runs.assign(effect=effect), errors, above.n, min(above.clusters, below.clusters)
    )


def _covariance(above: Effects, below: Effects, combine: Combine) -> float:
    """Of the two means: that between runs as seen, that between problems at its worst.

    The worst for an interval of a ratio is the one against its sign.
    """
    a, b = combine(above), combine(below)
    both = combine(_less(above, below, -1.0))
    runs = (both.run_variance - a.run_variance - b.run_variance) / 2
    sign = 1 if a.mean * b.mean >= 0 else -1
    return runs - sign * (a.problem_variance * b.problem_variance) ** 0.5


def _two_sided(tail: float) -> float:
    return min(1.0, 2 * tail)
