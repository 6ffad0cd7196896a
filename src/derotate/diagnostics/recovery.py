# SPDX-License-Identifier: MIT
"""Does RL move states back to those of the peak? Differences, win rates and their 95 % CIs.

The unit is the prompt, and prompts of one problem form a cluster. A distance between two
checkpoints depends on the prompts; only the difference of two distances on the same prompts shows
whether RL recovered the peak's states ("recovery delta" of arXiv 2509.12235; claim C16).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isnan, log, nan

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from derotate.analysis.clustered_intervals import Estimate, clustered_mean, wilson
from derotate.diagnostics import states as metrics
from derotate.diagnostics.states import Floats, States

COLUMNS = ("pair", "metric", "value", "low", "high", "n", "p")
MAX_GROUPS = 60
"""Most groups of a jackknife. Each costs one evaluation of the statistic, and a t interval with 59
degrees of freedom is within 2 % of the normal one."""

Indices = NDArray[np.intp]
Statistic = Callable[[Indices], float]
"""A statistic of the prompts with these indices."""


@dataclass(frozen=True)
class WinRate:
    """How often RL is nearer to the peak than the end of SFT is.

    Attributes:
        rate: wins / (wins + losses); NaN if all are ties.
        low: lower end of Wilson's 95 % CI.
        high: upper end.
        wins: clusters on which RL is nearer.
        losses: clusters on which the end of SFT is nearer.
        ties: clusters with a mean gain of zero, excluded as in a sign test.
        p: two-sided sign test of H0: the rate is one half.
    """

    rate: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    p: float


def win_rate(gains: ArrayLike, clusters: Sequence[Hashable]) -> WinRate:
    """Win rate of RL, one vote per cluster of prompts.

    Args:
        gains: [prompts], distance of the peak to the end of SFT minus its distance to RL.
        clusters: [prompts], the problem of each prompt; the sign of its mean gain is its vote.

    Raises:
        ValueError: no gains, one that is NaN, or lengths that differ.
    """
    values = np.asarray(gains, dtype=float)
    if values.shape != (len(clusters),) or not values.size or np.isnan(values).any():
        raise ValueError(
            f"win_rate: {values.size} gains of which {int(np.isnan(values).sum())} are NaN, and "
            f"{len(clusters)} clusters, expected as many of each, at least one, and no NaN"
        )
    votes = np.sign(pd.Series(values).groupby(_codes(clusters)).mean())
    wins, losses = int((votes > 0).sum()), int((votes < 0).sum())
    decided = wins + losses
    # Without a decided cluster the sign test has no evidence: p = 1.
    if not decided:
        return WinRate(nan, nan, nan, 0, 0, len(votes), 1.0)
    low, high = wilson(wins, decided)
    p = float(stats.binomtest(wins, decided).pvalue)
    return WinRate(wins / decided, low, high, wins, losses, len(votes) - decided, p)


def left_out(statistic: Statistic, clusters: Sequence[Hashable]) -> Floats:
    """The statistic of all prompts, then without each group of clusters in turn, [1 + groups].

    Clusters form at most `MAX_GROUPS` groups. The difference of two such arrays of the same
    clusters gives `jackknife` a paired comparison of two statistics.

    Args:
        statistic: of indices into the prompts; smooth, as means and ratios of means are.
        clusters: [prompts], whose members are left out together.

    Raises:
        ValueError: fewer than three clusters.
    """
    codes = _codes(clusters)
    groups = min(int(codes.max(initial=-1)) + 1, MAX_GROUPS)
    if groups < 3:
        raise ValueError(f"left_out: {groups} clusters of prompts, expected at least 3")
    indices = np.arange(codes.size)
    # Cluster codes modulo the number of groups: group sizes differ by at most one cluster.
    without = [statistic(indices[codes % groups != group]) for group in range(groups)]
    return np.array([statistic(indices), *without])


def jackknife(values: Floats, n: int, support: tuple[float, float] | None = None) -> Estimate:
    """A statistic with its 95 % CI by the delete-a-group jackknife (Quenouille 1956, Tukey 1958).

    The reference is t with groups - 1 degrees of freedom. A bootstrap would draw prompts twice,
    which biases CKA and Frechet distances, as fewer prompts do, and MMD, whose terms exclude only
    the prompt itself.

    Args:
        values: [1 + groups], from `left_out`.
        n: number of prompts.
        support: smallest and largest possible value.
    """
    groups = values.size - 1
    # Deviations from the mean of the replicates, as in the usual variance of a jackknife.
    spread = ((values[1:] - values[1:].mean()) ** 2).sum()
    estimate = Estimate(
        mean=float(values[0]),
        low=nan,
        high=nan,
        standard_error=float(np.sqrt((groups - 1) / groups * spread)),
        n=n,
        clusters=groups,
        support=support,
    )
    low, high = estimate.interval(0.95)
    return replace(estimate, low=low, high=high)


def diagnose_states(
    states: Mapping[str, States],
    clusters: Sequence[Hashable],
    *,
    peak: str,
    patient: str,
    healed: str,
    temperatures: Sequence[float] = (1.0, 1.5, 2.0),
    top: int = 10,
) -> pd.DataFrame:
    """Distances of the peak to the end of SFT and to RL, and their difference, as a long table.

    Metrics per prompt (means over its positions): cosine, hellinger, top_k_overlap,
    jensen_shannon_T. Metrics of all prompts (hidden states averaged over positions): cka, frechet,
    mmd, all with one bandwidth, that of the peak's states.

    Args:
        states: checkpoint name -> its states, of the same prompts in the same order.
        clusters: [prompts], the problem of each prompt.
        peak: name of the checkpoint that distances start from (`max_ood`).
        patient: name of the end of SFT.
        healed: name of the RL checkpoint.
        temperatures: of the Jensen-Shannon divergences.
        top: k of the Jaccard index; below the vocabulary, or it is 1 for any pair.

    Returns:
        Rows with `COLUMNS`. Pairs are `peak:patient`, `peak:healed` and, for the gain of RL,
        `peak:patient:healed`. A gain is signed so that positive means RL is nearer, with p of a
        paired t test over clusters; `win_rate.<metric>` has p of the sign test. n is the number of
        prompts, for win rates that of clusters without ties. p is NaN where nothing is tested.

    Raises:
        ValueError: shapes or numbers of prompts differ, or there are fewer than three clusters.
    """
    for name in (peak, patient, healed):
        _check(name, states[name], states[peak], len(clusters))
    rows: list[tuple[object, ...]] = []

    def add(pair: str, metric: str, estimate: Estimate, p: float = nan) -> None:
        values = (estimate.mean, estimate.low, estimate.high, estimate.n)
        rows.append((pair, metric, *values, p))

    sides, gain = (f"{peak}:{patient}", f"{peak}:{healed}"), f"{peak}:{patient}:{healed}"
    ends = (states[patient], states[healed])
    for metric, (measure, support, sign) in _prompt_metrics(temperatures, top).items():
        distances = [measure(states[peak], end) for end in ends]
        for pair, values in zip(sides, distances, strict=True):
            add(pair, metric, clustered_mean(values, pd.Series(clusters), support=support))
        gains = sign * (distances[0] - distances[1])
        reach = support[1] - support[0]
        difference = clustered_mean(gains, pd.Series(clusters), support=(-reach, reach))
        add(gain, metric, difference, _two_sided(difference))
        wins = win_rate(gains, clusters)
        decided = wins.wins + wins.losses
        rows.append((gain, f"win_rate.{metric}", wins.rate, wins.low, wins.high, decided, wins.p))
    # One bandwidth for all pairs, or their MMDs could not be compared.
    gamma = metrics.median_gamma(_pooled(states[peak]))
    for metric, (prepare, bounds, sign) in _set_metrics(gamma).items():
        numbers = [left_out(prepare(_pooled(states[peak]), _pooled(end)), clusters) for end in ends]
        for pair, values in zip(sides, numbers, strict=True):
            add(pair, metric, jackknife(values, len(clusters), bounds))
        difference = jackknife(sign * (numbers[0] - numbers[1]), len(clusters))
        add(gain, metric, difference, _two_sided(difference))
    return pd.DataFrame(rows, columns=list(COLUMNS))


_PromptMetric = tuple[Callable[[States, States], Floats], tuple[float, float], int]
"""Distance or similarity [prompts], its range, and its sign: -1 for a similarity."""

_SetMetric = tuple[Callable[[Floats, Floats], Statistic], tuple[float, float] | None, int]
"""Statistic of two sets of states, its range, and its sign: -1 for a similarity."""


def _prompt_metrics(temperatures: Sequence[float], top: int) -> dict[str, _PromptMetric]:
    def hidden(measure: Callable[..., Floats]) -> Callable[[States, States], Floats]:
        return lambda a, b: measure(a.hidden, b.hidden).mean(-1)

    def tokens(measure: Callable[..., Floats]) -> Callable[[States, States], Floats]:
        return lambda a, b: measure(a.log_probs, b.log_probs).mean(-1)

    by_name: dict[str, _PromptMetric] = {
        "cosine": (hidden(metrics.cosine), (-1.0, 1.0), -1),
        "hellinger": (tokens(metrics.hellinger), (0.0, 1.0), 1),
        "top_k_overlap": (tokens(partial(metrics.top_k_overlap, k=top)), (0.0, 1.0), -1),
    }
    for temperature in temperatures:
        measure = partial(metrics.jensen_shannon, temperature=temperature)
        by_name[f"jensen_shannon_{temperature:g}"] = (tokens(measure), (0.0, log(2)), 1)
    return by_name


def _set_metrics(gamma: float) -> dict[str, _SetMetric]:
    def subset(measure: Callable[[Floats, Floats], float]) -> Callable[[Floats, Floats], Statistic]:
        return lambda a, b: lambda chosen: measure(a[chosen], b[chosen])

    def mmd(a: Floats, b: Floats) -> Statistic:
        # The terms are computed once; a subset of prompts is a submatrix.
        terms = metrics.mmd_terms(a, b, gamma)
        return lambda chosen: metrics.mean_of_terms(terms[np.ix_(chosen, chosen)])

    return {
        "cka": (subset(metrics.linear_cka), (0.0, 1.0), -1),
        "frechet": (subset(metrics.frechet), (0.0, inf), 1),
        "mmd": (mmd, None, 1),
    }


def _two_sided(difference: Estimate) -> float:
    """Two-sided p-value of H0: the mean is zero, by t; NaN without a standard error."""
    if isnan(difference.standard_error) or difference.standard_error == 0:
        return nan
    ratio = abs(difference.mean) / difference.standard_error
    return float(2 * stats.t.sf(ratio, difference.clusters - 1))


def _pooled(states: States) -> Floats:
    pooled: Floats = np.asarray(states.hidden, dtype=np.float64).mean(axis=1)
    return pooled


def _codes(clusters: Sequence[Hashable]) -> Indices:
    codes: Indices = pd.factorize(pd.Series(clusters))[0]
    return codes


def _check(name: str, states: States, peak: States, prompts: int) -> None:
    for part in ("hidden", "log_probs"):
        shape, expected = getattr(states, part).shape, getattr(peak, part).shape
        if shape != expected or len(expected) != 3 or expected[0] != prompts:
            raise ValueError(
                f"{part} of {name} has shape {list(shape)}, expected {list(expected)} as of the "
                f"peak, with one row for each of {prompts} prompts"
            )
