# SPDX-License-Identifier: MIT
"""Cluster-robust intervals and tests of accuracies.

Problems of one number set succeed or fail together, so the number set is the sampling unit, and
every interval here is robust to dependence within it. Seeds are pooled by stacking their rows under
the same number sets: such an interval generalises to new problems, conditional on these seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb, inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

# A standard error below this share of the largest value is rounding, not variance.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: in the unit of the values.
        low: lower end of the 95 % interval (or of another confidence level).
        high: upper end.
        standard_error: cluster-robust; 0 if every cluster has the mean, NaN if there is one cluster
            and its values differ.
        n: number of values.
        clusters: number of clusters G; the t reference has G - 1 degrees of freedom.
        support: smallest and largest possible value, None if unbounded.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    n: int
    clusters: int
    support: tuple[float, float] | None = None

    def interval(self, confidence: float) -> tuple[float, float]:
        """The interval at `confidence`, from the same standard error.

        Without variance (all clusters agree) a t interval has width 0, which is too narrow. None of
        G clusters differs from the mean, so the share of clusters that do is at most
        1 - (alpha/2)^(1/G) on each side (Clopper and Pearson 1934; about 3/G at 90 %, the rule of
        three). Each could move the mean no farther than the support. Without a support the interval
        is unbounded: NaN.
        """
        tail = (1 - confidence) / 2
        if self.standard_error > 0:
            reach = self.standard_error * float(stats.t.isf(tail, self.clusters - 1))
            low, high = self.support or (-inf, inf)
            return max(self.mean - reach, low), min(self.mean + reach, high)
        if isnan(self.standard_error) or self.support is None:
            return nan, nan
        share = 1 - tail ** (1 / self.clusters)
        low, high = self.support
        return self.mean - share * (self.mean - low), self.mean + share * (high - self.mean)

    def scaled(self, factor: float) -> Estimate:
        """The estimate in another unit: times `factor` > 0 (100: from shares to points)."""
        return replace(
            self,
            mean=self.mean * factor,
            low=self.low * factor,
            high=self.high * factor,
            standard_error=self.standard_error * factor,
            support=self.support and (self.support[0] * factor, self.support[1] * factor),
        )


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of equivalence (Schuirmann 1987).

    Attributes:
        margin: equivalence margin, in the unit of the estimate.
        p: the larger of the two one-sided p-values.
        passes: p is below 0.05, that is, the 90 % interval lies within the margin.
        low: lower end of the 90 % interval.
        high: upper end.
        smallest_margin: the test passes at every margin above this one.
    """

    margin: float
    p: float
    passes: bool
    low: float
    high: float
    smallest_margin: float


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a proportion of independent trials (Wilson 1927).

    Raises:
        ValueError: `n` is below 1 or `correct` outside 0..n.
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"wilson: got {correct} correct of {n}, expected 0 <= correct <= n, n >= 1"
        )
    low, high = proportion_confint(correct, n, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def clustered_mean(
    values: ArrayLike,
    clusters: Sequence[Any] | pd.Series,
    confidence: float = 0.95,
    support: tuple[float, float] | None = None,
) -> Estimate:
    """Mean of `values` with an interval robust to dependence within clusters.

    A regression on a constant with the sandwich estimator of Liang and Zeger (1986), its
    finite-sample factor G/(G-1) and a t reference with G - 1 degrees of freedom (Cameron and Miller
    2015). With clusters of one value this is the one-sample t interval.

    Args:
        values: shape (n,), finite.
        clusters: shape (n,), the cluster of each value.
        confidence: of `low` and `high`.
        support: smallest and largest possible value; it truncates the interval, and bounds it where
            there is no variance (see `Estimate.interval`).

    Raises:
        ValueError: no values, a value that is not finite, or lengths that differ.
    """
    observed = np.asarray(values, dtype=float)
    codes = pd.factorize(pd.Series(clusters))[0]
    if observed.shape != codes.shape or observed.size == 0:
        raise ValueError(
            f"clustered_mean: {observed.size} values and {codes.size} clusters, expected as many "
            "of each and at least one"
        )
    if not np.isfinite(observed).all():
        raise ValueError("clustered_mean: a value is NaN or infinite; drop or repair such rows")
    count = int(codes.max()) + 1
    estimate = Estimate(
        mean=float(observed.mean()),
        low=nan,
        high=nan,
        standard_error=_standard_error(observed, codes, count),
        n=observed.size,
        clusters=count,
        support=support,
    )
    low, high = estimate.interval(confidence)
    return replace(estimate, low=low, high=high)


def _standard_error(values: np.ndarray, codes: np.ndarray, count: int) -> float:
    if np.ptp(values) == 0:
        return 0.0
    if count == 1:
        return nan
    fit = OLS(values, np.ones((values.size, 1))).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    error = float(fit.bse[0])
    return error if error > _ROUNDING * float(np.abs(values).max()) else 0.0


def paired(
    a: pd.DataFrame, b: pd.DataFrame, on: Sequence[str], value: str = "correct"
) -> pd.DataFrame:
    """Differences a - b, one row per pair: columns `on`, `cluster`, `difference`.

    Raises:
        ValueError: rows that repeat a key, have no partner, or whose partner is in another cluster.
    """
    keys = list(on)
    for name, frame in (("a", a), ("b", b)):
        repeated = frame.duplicated(keys)
        if repeated.any():
            first = _first(frame[repeated], keys)
            raise ValueError(
                f"paired: {repeated.sum()} rows of {name} repeat a key ({first}); "
                "keep one decoding and one attempt"
            )
    columns = [*keys, "cluster", value]
    both = a[columns].merge(b[columns], on=keys, how="outer", suffixes=("_a", "_b"), indicator=True)
    alone = both[both["_merge"] != "both"]
    if len(alone):
        raise ValueError(
            f"paired: {len(alone)} of {len(both)} rows have no partner ({_first(alone, keys)}); "
            "evaluate both checkpoints on the same problems"
        )
    moved = both[both["cluster_a"] != both["cluster_b"]]
    if len(moved):
        raise ValueError(f"paired: {len(moved)} pairs are in two clusters ({_first(moved, keys)})")
    difference = both[f"{value}_a"].astype(float) - both[f"{value}_b"].astype(float)
    return both[keys].assign(cluster=both["cluster_a"], difference=difference)


def _first(frame: pd.DataFrame, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {frame[key].iloc[0]}" for key in keys)


def paired_difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    on: Sequence[str] = ("problem", "seed"),
    value: str = "correct",
    confidence: float = 0.95,
) -> Estimate:
    """Mean of a - b over the same problems, clustered by number set (column `cluster`).

    `value` is a 0/1 verdict, so that the difference lies within -1..1.

    Raises:
        ValueError: as `paired` and `clustered_mean`.
    """
    pairs = paired(a, b, on, value)
    return clustered_mean(pairs["difference"], pairs["cluster"], confidence, support=(-1.0, 1.0))


def equivalence(estimate: Estimate, margin: float = 2.0) -> Tost:
    """TOST at 5 %: is the estimate within `margin` of 0? From its cluster-robust standard error.

    Without variance, p is the alpha at which the interval of `Estimate.interval` just reaches the
    margin. A standard error of NaN gives p = 1.

    Args:
        estimate: of a difference, in the unit of `margin` (points: `.scaled(100)`).
        margin: > 0; the default is 2 points.

    Raises:
        ValueError: `margin` is not positive.
    """
    if margin <= 0:
        raise ValueError(f"equivalence: got margin {margin}, expected a positive number of points")
    low, high = estimate.interval(0.90)
    p = max(_beyond(estimate, margin, 1), _beyond(estimate, margin, -1))
    smallest = inf if isnan(low) else max(abs(low), abs(high))
    return Tost(margin, p, bool(p < 0.05), low, high, smallest)


def _beyond(estimate: Estimate, margin: float, sign: int) -> float:
    """One-sided p-value of a true difference at or beyond `margin` on the side of `sign`."""
    room = margin - sign * estimate.mean
    if estimate.standard_error > 0:
        return float(stats.t.sf(room / estimate.standard_error, estimate.clusters - 1))
    if isnan(estimate.standard_error) or estimate.support is None or room <= 0:
        return 1.0
    edge = estimate.support[1] if sign > 0 else -estimate.support[0]
    reach = edge - sign * estimate.mean
    return 0.0 if reach <= room else (1 - room / reach) ** estimate.clusters


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that one of k samples drawn from n without replacement is correct, c of n being so.

    1 - C(n-c, k) / C(n, k), the unbiased estimator of pass@k (Chen et al. 2021, equation 1).

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(
            f"pass_at_k: got n {n}, c {c}, k {k}, expected 0 <= c <= n and 1 <= k <= n"
        )
    return 1 - comb(n - c, k) / comb(n, k)
