# SPDX-License-Identifier: MIT
"""The tests of claims on simulated studies: rarely wrong, and not blind; mutants are noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from derotate.analysis.run_level_inference import RunMean
from derotate.claims.calibration import COLUMNS, EFFECT, STUDIES, breaches, calibrate, design
from derotate.claims.cells import Tables
from derotate.claims.effects import Effects
from derotate.claims.hypothesis_tests import combine
from derotate.claims.simulated_studies import Design, Effect, simulate
from derotate.stages.calibration import ORIGIN, write_calibration
from derotate.study.provenance import code_digest, value_digest

MUTANT_STUDIES = 120
COMMITTED = Path(__file__).parents[3] / "results" / "reference" / "calibration"


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
    assert set(table["studies"]) == {STUDIES} and set(table["runs"]) == {6}
    assert breaches(table) == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [seeds_ignored, problems_as_runs])
def test_a_test_that_is_too_eager_is_noticed(studies: list[Tables], mutant: object) -> None:
    found = breaches(calibrate(studies[:MUTANT_STUDIES], design(), mutant))  # type: ignore[arg-type]
    assert any(line.startswith("liberal") for line in found)


@pytest.mark.slow
def test_a_test_that_is_too_timid_is_noticed(studies: list[Tables]) -> None:
    found = breaches(calibrate(studies[:MUTANT_STUDIES], design(), errors_four_times_as_large))
    assert any(line.startswith("underpowered") for line in found)


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


def test_a_table_has_a_row_for_each_test_and_shape_and_names_the_shape(tmp_path: Path) -> None:
    shapes = [{"bases": 2, "seeds": seeds, "clusters": 30, "per_cluster": 2} for seeds in (2, 3)]
    (tmp_path / "made-with-before.json").write_text("{}")
    origin = tmp_path / "made-with-now.json"
    write_calibration(shapes, 2, 0, {"code": "now"}, tmp_path / "calibration.csv", origin)
    table = pd.read_csv(tmp_path / "calibration.csv")
    assert list(table.columns) == COLUMNS
    assert not table.duplicated(["test", "scenario", "runs"]).any()
    assert set(table.groupby("runs").size()) == {len(table) // 2}
    assert set(table["runs"]) == {4, 6} and set(table["n"]) == {60}
    assert set(table["clusters"]) == {30} and set(table["studies"]) == {2}
    assert list(tmp_path.glob(ORIGIN)) == [origin]


def test_the_committed_calibration_is_whole_and_passed() -> None:
    table = pd.read_csv(COMMITTED / "calibration.csv")
    assert list(table.columns) == COLUMNS
    assert breaches(table) == []
    assert table["studies"].min() >= 400
    assert {(row["bases"], row["runs"]) for row in table.to_dict("records")} == {(2, 6), (2, 10)}
    # 478 number sets, each dealt twice: the OOD test problems of the demo and of the tiny study
    assert set(table["clusters"]) == {478} and set(table["n"]) == {956}
    for row in table.to_dict("records"):
        found = stats.binomtest(row["rejections"], row["studies"])
        bounds = found.proportion_ci(0.95, method="exact")
        assert (row["low"], row["high"]) == pytest.approx((bounds.low, bounds.high), abs=1e-5)
        assert row["passed"] == (
            row["low"] >= row["limit"] if row["scenario"] == EFFECT else row["low"] <= row["limit"]
        )


def test_the_committed_calibration_says_what_it_was_made_with() -> None:
    (origin,) = COMMITTED.glob(ORIGIN)
    made_with = json.loads(origin.read_text(encoding="utf-8"))
    assert origin.name == ORIGIN.replace("*", value_digest(made_with))
    assert {"code", "shapes", "studies", "seed"} == set(made_with)


@pytest.mark.slow  # an edit of the tests may wait for its calibration, a release may not
def test_the_committed_calibration_is_of_the_committed_tests() -> None:
    (origin,) = COMMITTED.glob(ORIGIN)
    made_with = json.loads(origin.read_text(encoding="utf-8"))
    assert made_with["code"] == code_digest("derotate.stages.calibration"), "run make calibration"
