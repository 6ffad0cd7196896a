# SPDX-License-Identifier: MIT
"""Intervals and tests: closed forms, scipy and statsmodels as oracles, simulated coverage."""

from itertools import combinations
from math import isnan

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from derotate.analysis.clustered_intervals import (
    clustered_mean,
    equivalence,
    paired,
    paired_difference,
    pass_at_k,
    wilson,
)


def answers(correct: list[int], seed: int = 1, per_cluster: int = 1) -> pd.DataFrame:
    """One row a problem; `per_cluster` neighbours share a number set."""
    problems = range(len(correct))
    return pd.DataFrame(
        {
            "problem": [f"p{i}" for i in problems],
            "seed": seed,
            "cluster": [f"c{i // per_cluster}" for i in problems],
            "correct": correct,
        }
    )


def test_wilson_is_the_closed_form() -> None:
    z = stats.norm.isf(0.025)
    share, n = 41 / 234, 234
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert wilson(41, 234) == pytest.approx((centre - half, centre + half))


@pytest.mark.parametrize(("correct", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_wilson_refuses_impossible_counts(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match="wilson"):
        wilson(correct, n)


def test_clusters_of_one_give_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=40)
    estimate = clustered_mean(values, range(40))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.standard_error == pytest.approx(stats.sem(values))


def test_equal_clusters_give_the_t_interval_of_their_means() -> None:
    values = np.random.default_rng(1).normal(size=(25, 4))
    estimate = clustered_mean(values.ravel(), np.repeat(np.arange(25), 4))
    expected = stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval(0.95)
    # statsmodels adds the factor (n - 1) / (n - k), which is 1 for a constant
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.n, estimate.clusters) == (100, 25)


def test_repeated_rows_of_a_cluster_add_no_certainty() -> None:
    values = np.random.default_rng(2).integers(0, 2, 50).astype(float)
    once = clustered_mean(values, range(50))
    thrice = clustered_mean(np.tile(values, 3), np.tile(np.arange(50), 3))
    assert thrice.standard_error == pytest.approx(once.standard_error)


def test_interval_covers_the_truth_where_an_unclustered_one_does_not() -> None:
    rng = np.random.default_rng(3)
    covered = naive = 0
    studies = 400
    for _ in range(studies):
        chance = rng.beta(1, 3, size=60)  # of a number set; its four orders share it, mean 1/4
        correct = rng.binomial(1, np.repeat(chance, 4)).astype(float)
        estimate = clustered_mean(correct, np.repeat(np.arange(60), 4))
        covered += estimate.low <= 0.25 <= estimate.high
        low, high = wilson(int(correct.sum()), 240)
        naive += low <= 0.25 <= high
    assert 0.92 <= covered / studies <= 0.98
    assert naive < covered - 0.03 * studies


def test_interval_stays_within_what_can_be_seen() -> None:
    estimate = clustered_mean([1.0] + [0.0] * 30, range(31), support=(0, 1))
    assert estimate.low == 0
    assert estimate.high > estimate.mean


def test_no_variance_is_not_certainty() -> None:
    """No number set of 478 differs: the rule of three bounds how many could."""
    none = clustered_mean([0.0] * 956, np.repeat(np.arange(478), 2), support=(-1, 1))
    assert none.standard_error == 0
    low, high = none.interval(0.90)
    assert (low, high) == pytest.approx((-3 / 478, 3 / 478), rel=0.01)
    assert none.high > high


def test_all_correct_is_bounded_on_one_side_only() -> None:
    estimate = clustered_mean([1.0] * 20, range(20), support=(0, 1))
    assert estimate.high == 1
    assert estimate.low == pytest.approx(0.025 ** (1 / 20))


def test_differences_that_cancel_within_each_cluster_have_no_width_of_their_own() -> None:
    estimate = clustered_mean([1.0, -1.0, 0.0, 0.0], [0, 0, 1, 1], support=(-1, 1))
    assert estimate.standard_error == 0
    assert estimate.low < 0 < estimate.high


def test_one_cluster_tells_nothing_about_others() -> None:
    estimate = clustered_mean([1.0, 0.0], ["3-5-11-12"] * 2, support=(0, 1))
    assert isnan(estimate.low)
    assert isnan(estimate.high)
    assert equivalence(estimate).p == 1


def test_no_variance_without_bounds_gives_no_interval() -> None:
    assert isnan(clustered_mean([0.5, 0.5], [0, 1]).low)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [1.0, 0.0, 1.0]])
def test_mean_refuses_what_it_cannot_average(values: list[float]) -> None:
    with pytest.raises(ValueError, match="clustered_mean"):
        clustered_mean(values, range(len(values) if len(values) < 3 else 2))


def test_pairs_do_not_depend_on_row_order() -> None:
    a, b = answers([1, 0, 1, 1, 0, 1]), answers([0, 0, 1, 0, 1, 1])
    estimate = paired_difference(a, b.sample(frac=1, random_state=0))
    expected = stats.ttest_rel(a["correct"], b["correct"]).confidence_interval(0.95)
    assert estimate.mean == pytest.approx(1 / 6)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_seeds_are_pooled_under_the_same_number_sets() -> None:
    a = pd.concat([answers([1, 0, 1, 0], seed) for seed in (1, 2)])
    b = pd.concat([answers([0, 0, 1, 1], seed) for seed in (1, 2)])
    pooled = paired_difference(a, b)
    single = paired_difference(a[a["seed"] == 1], b[b["seed"] == 1])
    assert (pooled.n, pooled.clusters) == (8, 4)
    assert pooled.standard_error == pytest.approx(single.standard_error)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (answers([1, 0]), answers([1, 0, 1]), "1 of 3 rows have no partner .problem p2, seed 1"),
        (answers([1, 0]), answers([1, 0], seed=2), "no partner"),
        (pd.concat([answers([1])] * 2), answers([1]), "1 rows of a repeat a key"),
        (answers([1, 0], per_cluster=2), answers([1, 0]), "in two clusters"),
    ],
)
def test_pairing_refuses_what_is_no_pair(a: pd.DataFrame, b: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        paired(a, b, ["problem", "seed"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.9])
def test_equivalence_is_the_paired_tost(shift: float) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=30), rng.normal(shift, 1, 30)
    tost = equivalence(clustered_mean(a - b, range(30)), margin=0.8)
    assert tost.p == pytest.approx(ttost_paired(a, b, -0.8, 0.8)[0])
    assert tost.passes == (tost.p < 0.05)


@pytest.mark.parametrize("values", [[0.0, 0.1, -0.1, 0.0, 0.3], [0.0] * 50])
def test_smallest_margin_is_where_the_test_turns(values: list[float]) -> None:
    estimate = clustered_mean(values, range(len(values)), support=(-1, 1))
    smallest = equivalence(estimate, 1.0).smallest_margin
    assert equivalence(estimate, smallest * 1.001).passes
    assert not equivalence(estimate, smallest * 0.999).passes
    assert equivalence(estimate, smallest).p == pytest.approx(0.05)


def test_equivalence_speaks_points() -> None:
    share = clustered_mean([0.0] * 478, range(478), support=(-1, 1))
    assert equivalence(share.scaled(100), 2.0).p == pytest.approx(equivalence(share, 0.02).p)


def test_a_margin_must_be_positive() -> None:
    with pytest.raises(ValueError, match="margin"):
        equivalence(clustered_mean([0.0, 1.0], range(2)), 0)


@pytest.mark.parametrize(("n", "c"), [(6, 0), (6, 2), (6, 5), (6, 6)])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_pass_at_k_counts_the_draws_with_a_correct_one(n: int, c: int, k: int) -> None:
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, 1, 5), (4, 1, 0)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass_at_k"):
        pass_at_k(n, c, k)
