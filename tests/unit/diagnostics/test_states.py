# SPDX-License-Identifier: MIT
"""Distances of states and distributions have their closed forms; gains, wins and intervals hold."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax
from scipy.stats import binomtest, ortho_group, ttest_rel

from derotate.analysis.clustered_intervals import clustered_mean, wilson
from derotate.diagnostics.recovery import COLUMNS, diagnose_states, jackknife, left_out, win_rate
from derotate.diagnostics.states import (
    States,
    cosine,
    frechet,
    hellinger,
    jensen_shannon,
    linear_cka,
    median_gamma,
    mmd,
    top_k_overlap,
)

Array = NDArray[np.float64]


def gaussian(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


# --- distributions of one position


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    size=st.floats(0.01, 30),
)
def test_jensen_shannon_is_the_square_of_scipys_distance(
    seed: int, temperature: float, size: float
) -> None:
    a, b = size * gaussian((4, 7), seed), size * gaussian((4, 7), seed + 1)
    p, q = (np.exp(log_softmax(x / temperature, axis=1)) for x in (a, b))
    found = jensen_shannon(log_softmax(a, axis=1), b, temperature)
    # of two that are equal but for rounding, scipy takes the root of a number just below 0
    with np.errstate(invalid="ignore"):
        distance = np.nan_to_num(jensenshannon(p, q, axis=1), nan=0.0)
    np.testing.assert_allclose(found, distance**2, atol=1e-12)


def test_disjoint_supports_are_ln_2_apart_and_equal_ones_0() -> None:
    with np.errstate(divide="ignore"):
        first = np.log([[0.5, 0.5, 0, 0]])
    second = first[:, ::-1]
    assert jensen_shannon(first, second).tolist() == [pytest.approx(math.log(2))]
    assert jensen_shannon(first, second, 2.0).tolist() == [pytest.approx(math.log(2))]
    assert hellinger(first, second).tolist() == [pytest.approx(1)]
    assert jensen_shannon(first, first).tolist() == hellinger(first, first).tolist() == [0]


def test_hellinger_of_two_coins() -> None:
    p, q = 0.5, 0.9
    expected = math.sqrt(1 - math.sqrt(p * q) - math.sqrt((1 - p) * (1 - q)))
    found = hellinger(np.log([p, 1 - p]), np.log([q, 1 - q]))
    assert float(found) == pytest.approx(expected)


def test_a_distribution_for_each_position_is_not_that_of_averaged_logits() -> None:
    # Two positions, each sure of a token, and the models swap them: at every position all differs.
    first = np.log([[[0.999, 0.001], [0.001, 0.999]]])
    second = first[:, ::-1]
    assert jensen_shannon(first, second).mean(-1) > 0.6
    assert jensen_shannon(first.mean(1), second.mean(1)) == pytest.approx(0)


@pytest.mark.parametrize(("shift", "shared"), [(0, 3), (1, 2), (2, 1), (3, 0)])
def test_overlap_of_the_likeliest_tokens(shift: int, shared: int) -> None:
    scores = np.array([9.0, 8, 7, 1, 1, 1])
    found = top_k_overlap(scores, np.roll(scores, shift), 3)
    assert float(found) == pytest.approx(shared / (6 - shared))


def test_overlap_of_unrelated_rankings_is_near_its_expectation() -> None:
    found = top_k_overlap(gaussian((500, 200), 0), gaussian((500, 200), 1), 20)
    assert found.mean() == pytest.approx(20 / (2 * 200 - 20), rel=0.1)


@pytest.mark.parametrize("k", [0, 7])
def test_more_tokens_than_the_vocabulary_has_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 6"):
        top_k_overlap(np.zeros(6), np.zeros(6), k)


# --- hidden states


def test_cosine_of_known_angles() -> None:
    angles = np.array([0.0, 0.3, math.pi / 2, math.pi])
    turned = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(cosine([[2.0, 0.0]] * 4, turned), np.cos(angles), atol=1e-12)
    assert np.isnan(cosine([0.0, 0.0], [1.0, 0.0]))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_cka_does_not_see_rotation_scale_and_shift(seed: int, scale: float) -> None:
    a, b = gaussian((12, 5), seed), gaussian((12, 5), seed + 1)
    turned = scale * b @ ortho_group.rvs(5, random_state=seed) + 3
    assert linear_cka(a, turned) == pytest.approx(linear_cka(a, b))
    assert linear_cka(b, turned) == pytest.approx(1)


def test_cka_of_one_feature_is_the_squared_correlation() -> None:
    a = gaussian((30, 1), 0)
    b = a + gaussian((30, 1), 1)
    expected = np.corrcoef(a[:, 0], b[:, 0])[0, 1] ** 2
    assert linear_cka(a, b) == pytest.approx(expected)
    assert math.isnan(linear_cka(a, np.ones((30, 1))))


def test_cka_of_unrelated_states_is_biased_as_the_docstring_says() -> None:
    n, c, d = 100, 50, 80
    found = np.mean([linear_cka(gaussian((n, c), i), gaussian((n, d), 100 + i)) for i in range(20)])
    assert found == pytest.approx(math.sqrt(c * d / ((n + c) * (n + d))), rel=0.03)


@pytest.mark.parametrize("prompts", [6, 50])
def test_frechet_is_the_formula_of_two_gaussians(prompts: int) -> None:
    mix = gaussian((8, 8), 2)
    a, b = gaussian((prompts, 8), 0), gaussian((prompts, 8), 1) @ mix + 0.5
    first, second = (np.cov(x, rowvar=False) for x in (a, b))
    means = a.mean(0) - b.mean(0)
    # Fewer prompts than dimensions: sqrtm needs a full rank, so a trace of jitter is added.
    root = sqrtm((first + 1e-10 * np.eye(8)) @ (second + 1e-10 * np.eye(8)))
    expected = means @ means + np.trace(first + second - 2 * np.real(root))
    assert frechet(a, b) == pytest.approx(expected, rel=1e-3)


def test_frechet_of_a_shift_and_of_a_scale() -> None:
    a = gaussian((40, 6), 0)
    shift = np.arange(6.0)
    spread = a.var(axis=0, ddof=1).sum()
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, a + shift) == pytest.approx(shift @ shift)
    centred = a - a.mean(0)
    assert frechet(centred, 3 * centred) == pytest.approx(4 * spread)


def test_mmd_is_zero_for_equal_states_and_on_average_for_samples_of_one_law() -> None:
    gamma = median_gamma(gaussian((60, 4), 0))
    assert mmd(gaussian((60, 4), 0), gaussian((60, 4), 0), gamma) == 0
    found = [mmd(gaussian((40, 4), 2 * i), gaussian((40, 4), 2 * i + 1), gamma) for i in range(200)]
    assert abs(np.mean(found)) < 4.5 * np.std(found) / math.sqrt(200)
    assert min(found) < 0
    # States of one prompt that depend on each other do not bias it.
    shared = [
        mmd(own, 0.8 * own + 0.6 * gaussian((40, 4), 7000 + i), gamma)
        for i, own in enumerate(gaussian((40, 4), 3000 + i) for i in range(200))
    ]
    assert abs(np.mean(shared)) < 4.5 * np.std(shared) / math.sqrt(200)


def test_mmd_of_two_gaussians_is_that_of_the_formula() -> None:
    # E k(x, y) for N(m, 1), N(0, 1) is exp(-g m^2 / (1 + 4 g)) / sqrt(1 + 4 g) in one dimension.
    gamma, mean = 0.5, 1.5
    inside = 1 / math.sqrt(1 + 4 * gamma)
    across = inside * math.exp(-gamma * mean**2 / (1 + 4 * gamma))
    found = mmd(gaussian((1500, 1), 0), gaussian((1500, 1), 1) + mean, gamma)
    assert found == pytest.approx(2 * inside - 2 * across, abs=0.03)


def test_the_bandwidth_is_that_of_the_median_pair() -> None:
    assert median_gamma([[0.0], [1.0], [3.0]]) == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match="expected above 0"):
        median_gamma(np.ones((5, 2)))


# --- gains, wins, intervals


def test_win_rate_counts_problems_once_and_leaves_out_ties() -> None:
    gains = [1.0, 1.0, -3.0, 2.0, 2.0, 0.0, 1.0]
    clusters = ["a", "a", "a", "b", "c", "d", "e"]
    found = win_rate(gains, clusters)
    assert (found.wins, found.losses, found.ties) == (3, 1, 1)
    assert found.rate == 0.75
    assert (found.low, found.high) == wilson(3, 4)
    assert found.p == binomtest(3, 4).pvalue


def test_all_ties_decide_nothing() -> None:
    found = win_rate([0.0, 0.0], ["a", "b"])
    assert math.isnan(found.rate) and (found.ties, found.p) == (2, 1.0)


@pytest.mark.parametrize("gains", [[], [1.0, math.nan], [1.0]])
def test_gains_that_cannot_be_counted_are_refused(gains: list[float]) -> None:
    with pytest.raises(ValueError, match="expected as many"):
        win_rate(gains, ["a", "b"])


def test_the_jackknife_of_a_mean_is_its_t_interval() -> None:
    values = gaussian((40,), 0)
    found = jackknife(left_out(lambda chosen: float(values[chosen].mean()), range(40)), 40)
    expected = clustered_mean(values, range(40))
    assert (found.mean, found.low, found.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )


def test_repeated_prompts_of_a_problem_do_not_narrow_the_interval() -> None:
    values = gaussian((30,), 0)
    thrice, clusters = np.repeat(values, 3), np.repeat(np.arange(30), 3)
    once = jackknife(left_out(lambda chosen: float(values[chosen].mean()), range(30)), 30)
    found = jackknife(left_out(lambda chosen: float(thrice[chosen].mean()), list(clusters)), 90)
    assert (found.low, found.high) == pytest.approx((once.low, once.high))
    assert (found.n, found.clusters) == (90, 30)


def test_the_jackknife_interval_covers_the_truth() -> None:
    def covers(seed: int) -> bool:
        a = gaussian((200, 1), seed)
        b = a + gaussian((200, 1), seed + 5000)
        without = left_out(lambda chosen: linear_cka(a[chosen], b[chosen]), range(200))
        found = jackknife(without, 200)
        return found.low <= 0.5 <= found.high

    # 95 % of 100, at a chance of 1e-4 to fail on a sound interval.
    assert sum(map(covers, range(100))) >= 85


def test_two_clusters_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        left_out(lambda chosen: 0.0, ["a", "b", "b"])


def checkpoint(noise: float, seed: int, prompts: int = 60, positions: int = 2) -> States:
    """States at a distance of the same underlying ones that grows with the noise."""
    hidden = gaussian((prompts, positions, 8), 1) + noise * gaussian((prompts, positions, 8), seed)
    logits = gaussian((prompts, positions, 12), 2)
    logits = logits + noise * gaussian((prompts, positions, 12), seed + 1)
    return States(hidden, log_softmax(logits, axis=-1))


NAMES = {"peak": "max_ood", "patient": "sft_end", "healed": "rl_end"}
CLUSTERS = [index // 2 for index in range(60)]


def diagnosed(patient: float, healed: float) -> pd.DataFrame:
    states = {
        "max_ood": checkpoint(0.0, 10),
        "sft_end": checkpoint(patient, 20),
        "rl_end": checkpoint(healed, 30),
    }
    return diagnose_states(states, CLUSTERS, **NAMES, top=4)


def test_states_nearer_to_the_peak_gain_on_every_metric_and_farther_ones_lose() -> None:
    for patient, healed, sign in ((1.5, 0.3, 1), (0.3, 1.5, -1)):
        table = diagnosed(patient, healed)
        gains = table[table["pair"] == "max_ood:sft_end:rl_end"].set_index("metric")
        rates = gains[gains.index.str.startswith("win_rate.")]
        gains = gains.drop(rates.index)
        assert (sign * gains["value"] > 0).all()
        assert (sign * gains[["low", "high"]] > 0).all().all()
        assert (gains["p"] < 0.01).all() and (rates["p"] < 0.01).all()
        assert (sign * (rates["value"] - 0.5) > 0.2).all()


def test_the_table_has_each_metric_of_each_pair_with_its_interval() -> None:
    table = diagnosed(1.0, 1.0)
    assert list(table) == list(COLUMNS)
    metrics = {
        "cosine", "hellinger", "top_k_overlap", "jensen_shannon_1", "jensen_shannon_1.5",
        "jensen_shannon_2", "cka", "frechet", "mmd",
    }  # fmt: skip
    by_pair = table.groupby("pair")["metric"].agg(set)
    assert by_pair["max_ood:sft_end"] == by_pair["max_ood:rl_end"] == metrics
    rates = {f"win_rate.{name}" for name in metrics - {"cka", "frechet", "mmd"}}
    assert by_pair["max_ood:sft_end:rl_end"] == metrics | rates
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert (table.loc[~table["metric"].str.startswith("win_rate"), "n"] == 60).all()


def test_the_gain_is_the_difference_of_the_distances_with_a_paired_test() -> None:
    states = {name: checkpoint(noise, seed) for name, noise, seed in (
        ("max_ood", 0.0, 10), ("sft_end", 1.0, 20), ("rl_end", 0.9, 30),
    )}  # fmt: skip
    table = diagnose_states(states, range(60), **NAMES).set_index(["pair", "metric"])
    far, near, gain = (
        table.loc[(pair, "hellinger")]
        for pair in ("max_ood:sft_end", "max_ood:rl_end", "max_ood:sft_end:rl_end")
    )
    assert gain["value"] == pytest.approx(far["value"] - near["value"])
    distances = [
        hellinger(states["max_ood"].log_probs, states[name].log_probs).mean(-1)
        for name in ("sft_end", "rl_end")
    ]
    assert gain["p"] == pytest.approx(ttest_rel(*distances).pvalue)


def test_distances_of_all_pairs_share_the_bandwidth_of_the_peak() -> None:
    states = {
        "max_ood": checkpoint(0, 10),
        "sft_end": checkpoint(1, 20),
        "rl_end": checkpoint(3, 30),
    }
    table = diagnose_states(states, CLUSTERS, **NAMES).set_index(["pair", "metric"])["value"]
    pooled = {name: own.hidden.mean(1) for name, own in states.items()}
    gamma = median_gamma(pooled["max_ood"])
    for name in ("sft_end", "rl_end"):
        expected = mmd(pooled["max_ood"], pooled[name], gamma)
        assert table[f"max_ood:{name}", "mmd"] == pytest.approx(expected)


def test_states_of_other_prompts_are_refused() -> None:
    states = {"max_ood": checkpoint(0, 1), "sft_end": checkpoint(0, 1, prompts=59)}
    with pytest.raises(ValueError, match="sft_end has shape"):
        diagnose_states(states | {"rl_end": states["max_ood"]}, CLUSTERS, **NAMES)
