# SPDX-License-Identifier: MIT
"""Inference with training runs as the unit: intervals that generalise to new seeds and problems.

A run is one seed of SFT and RL on one base. Its effect is a difference paired on the same problems.
The mean over runs has two variance components, which are added:

- between runs: sigma^2 sum_b 1 / (B^2 R_b). sigma^2 is the variance of runs around the mean of
  their base, pooled over bases, with R - B degrees of freedom. Bases are fixed strata of equal
  weight: two of them say nothing about a third, so the interval is conditional on these bases.
- between problems: the runs answer the same problems, so effects of number sets do not average out
  over runs. The component is the square of the mean over bases of the cluster-robust standard
  errors of their pooled runs: an upper bound whatever the dependence between bases
  (Cauchy-Schwarz).

The interaction of run and problem is in both components, so the sum is conservative: it is the
two-way clustered variance (Cameron, Gelbach and Miller 2011) without the subtracted term. The t
reference has Satterthwaite's (1946) degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.05
"""Two-sided level of the tests; intervals are at 1 - LEVEL."""
POWER = 0.8
_MOST_RUNS = 1000


@dataclass(frozen=True)
class RunMean:
    """Mean over bases of the mean effect of their runs.

    Attributes:
        mean: in the unit of the effects.
        run_sd: standard deviation of runs around the mean of their base; NaN if no base has two.
        run_variance: component of the variance of the mean that shrinks with more runs.
        problem_variance: component that shrinks with more problems only; 0 if unknown.
        runs: number R.
        clusters: smallest number of clusters behind a problem error, 0 without one.
        base_means: mean effect by base.
        support: smallest and largest possible effect, None if unbounded.
    """

    mean: float
    run_sd: float
    run_variance: float
    problem_variance: float
    runs: int
    clusters: int
    base_means: Mapping[int, float]
    support: tuple[float, float] | None = None

    @property
    def variance(self) -> float:
        """Variance of the mean; NaN if no base has two runs."""
        return self.run_variance + self.problem_variance

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, in the unit of the effects."""
        return sqrt(self.variance)

    @property
    def df(self) -> float:
        """Degrees of freedom of the t reference, from R - B up to clusters - 1."""
        return _satterthwaite(
            (self.run_variance, self.runs - len(self.base_means)),
            (self.problem_variance, self.clusters - 1),
        )

    @property
    def covers(self) -> str:
        """What the interval generalises to, conditional on these bases; a text of claims.csv."""
        return "other seeds and other problems" if self.clusters else "other seeds, same problems"

    def interval(self, confidence: float = 1 - LEVEL) -> tuple[float, float]:
        """Interval of the mean; NaN if no base has two runs.

        Without variance, the share of differing units is bounded as in
        `clustered_intervals.Estimate.interval`. The units are number sets if their standard error
        is known (it is 0), else runs.
        """
        tail = (1 - confidence) / 2
        low, high = self.support or (-inf, inf)
        if isnan(self.variance) or (self.variance == 0 and self.support is None):
            return nan, nan
        if self.variance == 0:
            share = 1 - tail ** (1 / self._units)
            return self.mean - share * (self.mean - low), self.mean + share * (high - self.mean)
        reach = self.standard_error * float(stats.t.isf(tail, self.df))
        return max(self.mean - reach, low), min(self.mean + reach, high)

    def p_above(self, bound: float) -> float:
        """One-sided p-value of H0: the mean is at most `bound`; 1 if no base has two runs."""
        return self._one_sided(bound, 1)

    def p_below(self, bound: float) -> float:
        """One-sided p-value of H0: the mean is at least `bound`; 1 if no base has two runs."""
        return self._one_sided(bound, -1)

    @property
    def _units(self) -> int:
        return self.clusters or self.runs

    def _one_sided(self, bound: float, sign: int) -> float:
        room = sign * (self.mean - bound)
        if self.variance > 0:
            return float(stats.t.sf(room / self.standard_error, self.df))
        if isnan(self.variance) or self.support is None or room <= 0:
            return 1.0
        reach = self.mean - self.support[0] if sign > 0 else self.support[1] - self.mean
        return 0.0 if reach <= room else (1 - room / reach) ** self._units


def combine(
    effects: pd.DataFrame,
    problem_errors: Mapping[int, float] | None = None,
    clusters: int = 0,
    support: tuple[float, float] | None = None,
) -> RunMean:
    """Mean over bases of their runs (see the module's docstring).

    Args:
        effects: one row per run: base_seed, seed, effect (finite).
        problem_errors: cluster-robust standard error of the mean over the runs of each base; None
            if unknown: the result then generalises to new seeds on the same problems.
        clusters: number of clusters behind these errors, 2 or more with them.
        support: smallest and largest possible effect.

    Raises:
        ValueError: no run, a run twice, or an effect that is not finite.
    """
    values = effects["effect"].to_numpy(dtype=float)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"combine: {len(values)} runs with effects {values.tolist()}, expected at least one "
            "run and finite effects"
        )
    keys = list(zip(effects["base_seed"], effects["seed"], strict=True))
    if len(set(keys)) < len(keys):
        raise ValueError("combine: a run occurs twice, expected one effect a run")
    names, codes, counts = np.unique(
        effects["base_seed"].to_numpy(), return_inverse=True, return_counts=True
    )
    means = np.bincount(codes, values) / counts
    bases, runs = len(names), len(values)
    spread = float(((values - means[codes]) ** 2).sum())
    # Rounding in CSV and in sums is not variance.
    spread = 0.0 if spread < 1e-18 * max(1.0, float(np.abs(values).max())) ** 2 else spread
    variance = spread / (runs - bases) if runs > bases else nan
    errors = problem_errors or {}
    mean_error = sum(errors[int(base)] for base in names) / bases if errors else 0.0
    return RunMean(
        mean=float(means.mean()),
        run_sd=sqrt(variance) if runs > bases else nan,
        run_variance=variance * float((1 / counts).sum()) / bases**2,
        problem_variance=mean_error**2,
        runs=runs,
        clusters=clusters if errors else 0,
        base_means={int(base): float(mean) for base, mean in zip(names, means, strict=True)},
        support=support,
    )


def tost(mean: RunMean, margin: float) -> float:
    """p-value of TOST: H0 is that the mean is beyond `margin` (Schuirmann 1987)."""
    return max(mean.p_below(margin), mean.p_above(-margin))


def minimum_detectable_effect(mean: RunMean, power: float = POWER) -> float:
    """Smallest distance from the null that a two-sided test at 5 % detects with `power`.

    (t_{0.975} + t_{power}) standard errors, unadjusted for other tests; NaN without variance.
    """
    if not mean.variance > 0:
        return nan
    return float(mean.standard_error * _reach(mean.df, power))


def runs_needed(mean: RunMean, distance: float, power: float = POWER) -> int | None:
    """Runs over the same bases with which a `distance` from the null would be detected.

    Variance between runs as estimated, same problems. None if a thousand runs are not enough, since
    the variance between problems remains, or if no base has two runs.
    """
    if not mean.variance > 0 or isnan(distance) or distance <= 0:
        return None
    bases = len(mean.base_means)
    runs = np.arange(bases + 1, _MOST_RUNS + 1)
    between = mean.run_sd**2 / runs
    total = between + mean.problem_variance
    # Satterthwaite's degrees of freedom, for all numbers of runs at once.
    others = mean.problem_variance**2 / max(mean.clusters - 1, 1)
    df = total**2 / (between**2 / (runs - bases) + others)
    enough = distance >= np.sqrt(total) * _reach(df, power)
    return int(runs[enough.argmax()]) if enough.any() else None


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means with Fieller's interval, unbounded where the denominator may be 0."""

    value: float
    low: float
    high: float


def fieller(
    numerator: RunMean, denominator: RunMean, covariance: float, df: float, level: float = LEVEL
) -> Ratio:
    """Fieller's (1954) interval of numerator / denominator.

    All rho with (a - rho b)^2 <= t^2 (V_a - 2 rho V_ab + rho^2 V_b). If b does not differ
    significantly from 0, this set is unbounded: the interval is then infinite.

    Args:
        numerator: a.
        denominator: b.
        covariance: V_ab of the two means.
        df: degrees of freedom of the t reference.
        level: two-sided.
    """
    a, b = numerator.mean, denominator.mean
    t2 = float(stats.t.isf(level / 2, df)) ** 2 if df > 0 else nan
    square = b**2 - t2 * denominator.variance
    middle = a * b - t2 * covariance
    constant = a**2 - t2 * numerator.variance
    value = a / b if b else nan
    if not square > 0:
        return Ratio(value, -inf, inf)
    root = sqrt(max(middle**2 - square * constant, 0.0))
    return Ratio(value, (middle - root) / square, (middle + root) / square)


def _reach(df: ArrayLike, power: float) -> Any:
    """Standard errors between the null and an effect that is detected with `power`."""
    return stats.t.isf(LEVEL / 2, df) + stats.t.ppf(power, df)


def _satterthwaite(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of (variance, df) components; variances of 0 drop out."""
    used = [(variance, df) for variance, df in parts if variance > 0 and df > 0]
    total = sum(variance for variance, _ in used)
    return total**2 / sum(variance**2 / df for variance, df in used) if used else nan
