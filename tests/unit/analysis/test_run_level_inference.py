# SPDX-License-Identifier: MIT
"""Inference between runs: closed forms, and what must not make a result look more certain."""

from math import inf, isnan, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from derotate.analysis.run_level_inference import (
    RunMean,
    combine,
    fieller,
    minimum_detectable_effect,
    runs_needed,
    tost,
)

FIVE = [3.1, 4.7, 2.2, 5.9, 4.0]


def runs(*bases: list[float]) -> pd.DataFrame:
    """One row a run, a list of effects for each base."""
    return pd.DataFrame(
        [
            {"base_seed": base, "seed": str(seed), "effect": effect}
            for base, effects in enumerate(bases, start=1)
            for seed, effect in enumerate(effects)
        ]
    )


def test_one_base_without_problem_error_is_the_t_test_over_runs() -> None:
    mean = combine(runs(FIVE))
    interval = stats.ttest_1samp(FIVE, 0.0).confidence_interval(0.95)
    expected = stats.ttest_1samp(FIVE, 2.0, alternative="greater")
    assert mean.interval() == pytest.approx((interval.low, interval.high))
    assert mean.p_above(2.0) == pytest.approx(expected.pvalue)
    assert mean.p_below(2.0) == pytest.approx(1 - expected.pvalue)


def test_two_bases_of_equal_size_are_strata_with_a_pooled_variance() -> None:
    first, second = [1.0, 3.0, 2.0], [7.0, 8.0, 9.0]
    mean = combine(runs(first, second))
    pooled = (np.var(first, ddof=1) + np.var(second, ddof=1)) / 2
    assert mean.mean == pytest.approx(5.0)
    assert mean.variance == pytest.approx(pooled / 6)
    assert mean.df == pytest.approx(4)
    assert mean.base_means == {1: pytest.approx(2.0), 2: pytest.approx(8.0)}


def test_bases_count_alike_whatever_their_number_of_runs() -> None:
    mean = combine(runs([0.0, 0.0, 3.0, 3.0], [7.5, 8.5]))
    assert mean.mean == pytest.approx((1.5 + 8.0) / 2)
    variance = (4 * 1.5**2 + 2 * 0.5**2) / 4
    assert mean.variance == pytest.approx(variance * (1 / 4 + 1 / 2) / 4)


def test_problem_errors_widen_the_interval_and_lend_degrees_of_freedom() -> None:
    alone = combine(runs(FIVE))
    both = combine(runs(FIVE), {1: 1.2}, clusters=478)
    assert both.variance == pytest.approx(alone.variance + 1.2**2)
    assert both.interval()[0] < alone.interval()[0]
    between, problems = alone.variance, 1.2**2
    assert both.df == pytest.approx(
        (between + problems) ** 2 / (between**2 / 4 + problems**2 / 477)
    )


def test_more_runs_cannot_make_the_problems_certain() -> None:
    many = combine(runs(FIVE * 200), {1: 1.2}, clusters=478)
    assert many.standard_error > 1.2


def test_one_run_a_base_decides_nothing() -> None:
    mean = combine(runs([9.0], [8.0]), {1: 0.1, 2: 0.1}, clusters=478)
    assert isnan(mean.interval()[0])
    assert (mean.p_above(0.0), mean.p_below(0.0), tost(mean, 20.0)) == (1.0, 1.0, 1.0)
    assert runs_needed(mean, 8.0) is None


def test_runs_that_agree_exactly_are_bounded_by_their_number() -> None:
    few = combine(runs([1.0, 1.0]), support=(-1.0, 1.0))
    many = combine(runs([1.0] * 20), support=(-1.0, 1.0))
    assert few.interval()[0] < 0 < many.interval()[0]
    assert few.interval()[0] == pytest.approx(1 - 2 * (1 - 0.025**0.5))
    assert few.p_above(0.0) == pytest.approx(0.25)


def test_no_change_on_any_number_set_is_bounded_by_the_number_sets() -> None:
    mean = combine(runs([0.0, 0.0]), {1: 0.0}, clusters=478, support=(-100.0, 100.0))
    assert tost(mean, 2.0) < 0.001
    assert mean.interval()[1] == pytest.approx(100 * (1 - 0.025 ** (1 / 478)))


@pytest.mark.parametrize(
    "effects", [[], [1.0, float("nan")], [1.0, inf]], ids=["none", "nan", "inf"]
)
def test_effects_that_are_no_numbers_are_refused(effects: list[float]) -> None:
    frame = pd.DataFrame({"base_seed": 1, "seed": range(len(effects)), "effect": effects})
    with pytest.raises(ValueError, match="combine"):
        combine(frame)


def test_a_run_counts_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        combine(pd.concat([runs(FIVE), runs(FIVE)]))


def test_equivalence_is_an_interval_of_90_percent_within_the_margin() -> None:
    mean = combine(runs([0.4, -0.3, 0.6, 0.1]), {1: 0.4}, clusters=100)
    reach = max(abs(end) for end in mean.interval(0.90))
    assert tost(mean, reach * 1.001) < 0.05 < tost(mean, reach * 0.999)


def test_the_detectable_effect_is_found_with_its_power() -> None:
    mean = combine(runs([1.0, -1.0, 2.0, -2.0, 0.5, -0.5]))
    effect = minimum_detectable_effect(mean)
    # Power of the t test by the noncentral t distribution; the formula is its usual approximation.
    power = stats.nct.sf(stats.t.isf(0.025, mean.df), mean.df, effect / mean.standard_error)
    assert power == pytest.approx(0.8, abs=0.02)


def test_runs_needed_is_where_the_detectable_effect_meets_the_distance() -> None:
    mean = combine(runs([1.0, 3.0, 2.0, 4.0]), {1: 0.3}, clusters=478)
    needed = runs_needed(mean, 1.5)
    assert needed is not None
    assert _detectable(mean, needed) <= 1.5 < _detectable(mean, needed - 1)


def test_no_number_of_runs_sees_below_what_the_problems_allow() -> None:
    mean = combine(runs([0.9, 1.1, 1.0]), {1: 1.0}, clusters=478)
    assert runs_needed(mean, 1.0) is None


def _detectable(mean: RunMean, count: int) -> float:
    return minimum_detectable_effect(
        RunMean(0.0, mean.run_sd, mean.run_sd**2 / count, mean.problem_variance, count,
                mean.clusters, {1: 0.0})
    )  # fmt: skip


def test_fieller_inverts_the_t_test_of_a_minus_rho_b() -> None:
    a, b = np.array([6.0, 7.5, 5.2, 8.1, 6.6]), np.array([9.1, 10.4, 8.2, 11.0, 8.9])
    numerator, denominator = combine(runs(list(a))), combine(runs(list(b)))
    found = fieller(numerator, denominator, float(np.cov(a, b)[0, 1] / 5), df=4)
    assert found.value == pytest.approx(a.mean() / b.mean())
    for rho in (found.low, found.high):
        assert stats.ttest_1samp(a - rho * b, 0).pvalue == pytest.approx(0.05)


def test_a_ratio_to_what_may_be_nothing_has_no_bounds() -> None:
    nothing = combine(runs([1.0, -1.2, 0.4, 0.1]))
    found = fieller(combine(runs([5.0, 5.1, 5.2, 4.9])), nothing, 0.0, df=3)
    assert (found.low, found.high) == (-inf, inf)


def test_the_standard_error_of_a_mean_falls_with_the_root_of_its_runs() -> None:
    once, twice = combine(runs(FIVE)), combine(runs(FIVE * 2))
    assert twice.standard_error == pytest.approx(once.standard_error * sqrt(4 / 9))
