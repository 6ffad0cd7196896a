# SPDX-License-Identifier: MIT
"""A finished study reruns nothing, missing files are remade, an invalid config starts no job."""

import shutil
from pathlib import Path

import pytest
from checkout import dry_run, leftovers, run, snakemake, tables

STUDY = "results/counted"


def test_a_second_run_does_nothing(study: Path) -> None:
    assert run(study) == {}


def test_a_finished_run_leaves_nothing_half_written(study: Path) -> None:
    assert leftovers(study) == []


def test_deleted_figures_are_redrawn_and_nothing_else(study: Path) -> None:
    shutil.rmtree(study / f"{STUDY}/figures")
    assert dry_run(study) == {"accuracy_by_step": 1, "figures": 1}


@pytest.mark.slow
def test_a_training_state_left_by_a_killed_run_is_deleted(fresh: Path) -> None:
    # the state after a kill: the segment has resumed, but its temporary input is not yet removed
    run(fresh, "--until", "sft_to_8", "--notemp", "--no-hooks")
    sft = fresh / STUDY / "general_points/base-1/seed-1/sft"
    assert (sft / "state-4").exists()
    target = f"{STUDY}/general_points/base-1/seed-1/evaluations/sft-8.parquet"
    assert run(fresh, target) == {"problems": 1, "evaluate_sft": 1}
    assert not (sft / "state-4").exists()
    assert (sft / "state-8").exists()


@pytest.mark.slow
def test_deleted_tables_and_figures_are_remade_from_the_evaluation_rows(study: Path) -> None:
    before = tables(study)
    shutil.rmtree(study / f"{STUDY}/tables")
    shutil.rmtree(study / f"{STUDY}/figures")
    assert run(study) == {
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }
    assert tables(study) == before


def test_another_seed_shares_only_the_base_and_the_evaluation_problems(study: Path) -> None:
    assert dry_run(study, "--config", "seeds=[101]") == {
        "sft_samples": 2,
        "sft_to_4": 1,
        "sft_to_8": 1,
        "rl_problems": 1,
        "grpo": 1,
        "evaluate_sft": 2,
        "evaluate": 1,
        "landmarks": 1,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }


def test_another_base_seed_shares_only_the_evaluation_problems(study: Path) -> None:
    planned = dry_run(study, "--config", "base_seeds=[2]")
    assert (planned["base"], planned["evaluate_base"], planned["sft_to_8"]) == (1, 1, 1)
    assert not {"problems", "data_card"} & planned.keys()


def test_more_cores_rerun_nothing(study: Path) -> None:
    assert dry_run(study, "--cores", "7") == {}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("sft={'learning_rat': 1e-4}", ("sft.learning_rat", "unknown key")),
        ("seeds=many", ("seeds", "'many'", "tuple")),
        ("base={'steps': -5}", ("base.steps", "-5", "greater than or equal to 1")),
        ("rl={'grpo': {'updates': 1.5}}", ("rl.grpo.updates", "1.5", "integer")),
        ("landmarks={'sft_end': 77}", ("landmarks.sft_end", "77", "(4, 8)")),
        ("rl={'runs': [{'starts': [5]}]}", ("rl.runs.starts", "5", "(4, 8)")),
    ],
)
def test_an_invalid_config_is_refused_in_one_line_and_writes_no_file(
    fresh: Path, setting: str, expected: tuple[str, ...]
) -> None:
    done = snakemake(fresh, "--config", setting)
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("Using", "Config "))]
    assert done.returncode == 1
    assert len(lines) == 1, done.stdout
    for part in expected:
        assert part in lines[0]
    assert not (fresh / STUDY).exists()


def test_a_target_that_no_rule_makes_is_named(fresh: Path) -> None:
    path = f"{STUDY}/general_points/base-1/seed-1/sft/step-9/model.safetensors"
    done = snakemake(fresh, path)
    assert done.returncode == 1
    assert path in done.stdout
    assert "Traceback" not in done.stdout
