# SPDX-License-Identifier: MIT
"""The tests of claims on simulated studies: rarely wrong, and not blind; mutants are noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from derotate.evidence.between import RunMean
from derotate.evidence.calibration import COLUMNS, STUDIES, breaches, calibrate, design
from derotate.evidence.effects import Effects
from derotate.evidence.lookup import Tables
from derotate.evidence.parts import combine
from derotate.evidence.simulation import Design, Effect, simulate

MUTANT_STUDIES = 120


def seeds_ignored(found: Effects) -> RunMean:
    """As if other seeds would give what these gave."""
    return replace(combine(found), run_variance=0.0)


def problems_as_runs(found: Effects) -> RunMean:
    """As if each answer of each run were a run of its own."""
    mean = combine(found)
    answers = max(found.n, 1)
    return replace(mean, run_variance=mean.run_variance / answers, problem_variance=0.0)


def errors_four_times_as_large(found: Effects) -> RunMean:
    """As if the spread were not trusted."""
    mean = combine(found)
    return replace(
        mean, run_variance=16 * mean.run_variance, problem_variance=16 * mean.problem_variance
    )


@pytest.fixture(scope="module")
def studies() -> list[Tables]:
    return list(simulate(design(), STUDIES, seed=0))


@pytest.mark.slow
def test_the_tests_are_rarely_wrong_and_find_the_stated_effects(studies: list[Tables]) -> None:
    table = calibrate(studies, design())
    assert list(table.columns) == COLUMNS
    assert set(table["studies"]) == {STUDIES}
    assert breaches(table) == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [seeds_ignored, problems_as_runs])
def test_a_test_that_is_too_eager_is_noticed(studies: list[Tables], mutant: object) -> None:
    found = breaches(calibrate(studies[:MUTANT_STUDIES], design(), mutant))  # type: ignore[arg-type]
    assert any(line.startswith("too eager") for line in found)


@pytest.mark.slow
def test_a_test_that_is_too_timid_is_noticed(studies: list[Tables]) -> None:
    found = breaches(calibrate(studies[:MUTANT_STUDIES], design(), errors_four_times_as_large))
    assert any(line.startswith("too timid") for line in found)


def test_simulated_studies_have_the_true_effect_and_shape() -> None:
    truth = Design(
        forgot=Effect(-9, 0.5, 1, 0.6), gains=(Effect(2, 0.5, 0, 0.9),), clusters=200, seeds=2
    )
    tables = list(simulate(truth, 6, seed=3))
    assert len(tables) == 6
    means: dict[str, list[float]] = {"forgot": [], "rl_over_start": []}
    for study in tables:
        table = study["contrasts"]
        runs = table[table["seed"] != "all"]
        assert set(runs["n"]) == {400}
        assert set(runs["clusters"]) == {200}
        for contrast, own in runs.groupby("contrast"):
            assert len(own) == 4
            means[str(contrast)].append(float(own["points"].mean()))
    for contrast, points in (("forgot", 9.0), ("rl_over_start", 2.0)):
        error = np.std(means[contrast], ddof=1) / np.sqrt(6)
        assert abs(np.mean(means[contrast]) - points) < 4 * error
