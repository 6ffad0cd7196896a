# SPDX-License-Identifier: MIT
"""Planning is quick: what it imports, what it looks at, and the workflow it is timed against."""

from pathlib import Path
from typing import Any

import pytest
from checkout import COUNTED, SMOKE, planned

HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "statsmodels", "matplotlib"}
HEAVY |= {"pandas", "snakemake_executor_plugin_slurm"}
GRID = ("--config", "study=grid", "seeds=[1,2]")
ABOUT_RUNS = "general_points/base-1/"
"""Folder of all files that are made for each base or each seed."""


def test_planning_imports_nothing_that_computes_or_draws(fresh: Path) -> None:
    assert (
        HEAVY & set(planned(fresh, "--configfile", SMOKE, "--profile", "local")["modules"]) == set()
    )


def test_planning_a_finished_study_opens_its_landmarks_and_no_other_result(study: Path) -> None:
    opened = planned(study, "--configfile", COUNTED, "--profile", "local")["opened"]
    made = [file for file in opened if file.startswith("results/counted/")]
    assert made == [f"results/counted/{ABOUT_RUNS}seed-1/landmarks.json"]


def test_planning_a_new_study_opens_no_result(fresh: Path) -> None:
    plan = planned(fresh, *GRID)
    assert [file for file in plan["opened"] if file.startswith("results/grid/")] == []
    assert len(plan["jobs"]) == 2 * 20 + 10


@pytest.mark.slow
def test_the_workflow_that_planning_is_timed_against_has_its_jobs_and_files(fresh: Path) -> None:
    ours = planned(fresh, *GRID)["jobs"]
    least = planned(fresh, "--snakefile", "benchmarks/minimal.smk", *GRID)["jobs"]

    def files(jobs: list[dict[str, Any]]) -> set[str]:
        return {file for job in jobs for file in job["made"] if ABOUT_RUNS in file}

    assert len(ours) == len(least)
    assert files(ours) == files(least)
    assert len(files(ours)) > 150
