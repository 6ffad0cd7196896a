# SPDX-License-Identifier: MIT
"""The phase diagram as a study of its own; studies without a grid plan no job of it."""

import shutil
from pathlib import Path

import pytest
from checkout import SMOKE, dry_run, snakemake

PHASE = "config/phase.yaml"


def test_the_diagram_plans_twelve_runs_from_three_bases_and_no_other_job(fresh: Path) -> None:
    assert dry_run(fresh, "phase_diagram", config=PHASE) == {
        "problems": 1,
        "base": 1,  # the one with base.steps belongs to the study
        "evaluate_base": 1,
        "phase_base": 2,
        "phase_evaluate_base": 2,
        "sft_samples": 1,
        "phase_sft": 12,
        "phase_evaluate": 12 * 6,
        "phase_diagram": 1,
    }


@pytest.mark.parametrize("config", ["config/demo.yaml", "config/tiny.yaml"])
def test_a_study_without_a_grid_plans_no_job_of_the_diagram(fresh: Path, config: str) -> None:
    planned = dry_run(fresh, config=config)
    assert planned["tables"] == 1
    assert not {rule for rule in planned if rule.startswith("phase")}


def test_the_diagram_of_a_study_without_a_grid_is_refused_naming_the_keys(fresh: Path) -> None:
    done = snakemake(fresh, "--dry-run", "phase_diagram")
    assert done.returncode == 1
    assert "phase: got an empty grid, expected base_steps, learning_rates and steps" in done.stdout


@pytest.mark.slow
def test_another_grid_reruns_no_job_of_the_study(smoked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(smoked, folder)
    assert dry_run(folder, "--config", "phase={'steps': [4, 6]}", config=SMOKE) == {
        "sft_samples": 1,
        "phase_sft": 1,
        "phase_evaluate": 2,
        "phase_diagram": 1,
    }
