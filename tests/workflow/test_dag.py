# SPDX-License-Identifier: MIT
"""Planning stays quick: the modules that it imports and the files that it opens."""

from pathlib import Path

from checkout import COUNTED, SMOKE, planned

HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "statsmodels", "matplotlib"}
HEAVY |= {"pandas", "snakemake_executor_plugin_slurm"}
GRID = ("--config", "study=grid", "seeds=[1,2]")
ABOUT_RUNS = "general_points/base-1/"
"""Folder of all files made per base or per seed."""


def test_planning_imports_no_package_for_computing_or_plotting(fresh: Path) -> None:
    assert (
        HEAVY & set(planned(fresh, "--configfile", SMOKE, "--profile", "local")["modules"]) == set()
    )


def test_planning_a_finished_study_opens_only_its_landmarks(study: Path) -> None:
    opened = planned(study, "--configfile", COUNTED, "--profile", "local")["opened"]
    made = [file for file in opened if file.startswith("results/counted/")]
    assert made == [f"results/counted/{ABOUT_RUNS}seed-1/landmarks.json"]


def test_planning_a_new_study_opens_no_result(fresh: Path) -> None:
    plan = planned(fresh, *GRID)
    assert [file for file in plan["opened"] if file.startswith("results/grid/")] == []
    assert len(plan["jobs"]) == 2 * 20 + 8
