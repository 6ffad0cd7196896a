# SPDX-License-Identifier: MIT
"""Labels, paths and cells agree with each other: what a path was made from is read back from it."""

import re

import pytest

from derotate.config.schema import load
from derotate.study import paths as study
from derotate.study.arms import ARMS
from derotate.study.checkpoint import LABEL, Checkpoint, evaluation_columns

CONFIG = load({"seeds": [1, 2], "base_seeds": [3]})
RUN = study.Run(base_seed=3, seed=2)
PATHS = study.Paths.of(CONFIG, RUN)


def test_a_study_is_every_base_seed_with_every_seed() -> None:
    assert study.runs(CONFIG) == [study.Run(3, 1), study.Run(3, 2)]


def test_every_label_of_a_study_is_a_label_and_has_a_folder_of_its_own() -> None:
    config = load({arm: {"steps": [60]} for arm in ARMS})
    labels = study.trained_labels(config) + study.arm_labels(config)
    assert {f"{arm}-60" for arm in ARMS} < set(labels)
    folders = [PATHS.checkpoint(label) for label in labels]
    assert all(re.fullmatch(LABEL, label) for label in labels)
    assert len(set(folders)) == len(labels)


@pytest.mark.parametrize("label", ["sft", "sft-", "rl-grpo-600", "max_ood", ""])
def test_what_is_no_label_has_no_folder(label: str) -> None:
    with pytest.raises(ValueError, match=r"expected (base, sft-STEP|rl-grpo-600-UPDATE)"):
        PATHS.checkpoint(label)


@pytest.mark.parametrize(
    ("path", "cell"),
    [
        (PATHS.evaluation("base"), {"stage": "base", "seed": None, "step": None}),
        (PATHS.evaluation("sft-60"), {"stage": "sft", "seed": 2, "step": 60, "base_seed": 3}),
        (PATHS.evaluation("lora-60"), {"stage": "lora", "step": 60}),
        (PATHS.evaluation("diverse-60"), {"stage": "diverse", "step": 60}),
        (
            PATHS.evaluation("rl-grpo-600-30"),
            {"stage": "rl", "algorithm": "grpo", "start": 600, "step": 30},
        ),
        (
            PATHS.surgery("sft-60", "sft-600", "both-top20"),
            {
                "stage": "surgery",
                "donor": 60,
                "patient": "sft-600",
                "recipe": "both-top20",
                "direction": "forward",
            },
        ),
        (
            PATHS.surgery("sft-600", "rl-grpo-600-30", "both-top20"),
            {"donor": 600, "patient": "rl-grpo-600-30", "direction": "reverse"},
        ),
    ],
)
def test_a_path_says_what_it_is_of(path: str, cell: dict[str, object]) -> None:
    found = evaluation_columns(path)
    assert {key: found[key] for key in cell} == cell


def test_another_path_is_no_evaluation() -> None:
    with pytest.raises(ValueError, match="not the path of an evaluation"):
        evaluation_columns("results/demo/tables/stages.csv")


def test_the_landmarks_of_a_study_without_rl_have_no_rl_end() -> None:
    config = load({"rl": {"runs": []}})
    assert set(study.stage_labels(config, 60)) == {"base", "max_ood", "sft_end"}
    assert {cell.direction for cell in study.variants(config, 60)} == {"forward"}


def test_spectral_pairs_are_between_different_checkpoints() -> None:
    end = CONFIG.landmarks.sft_end
    pairs = study.spectral_pairs(CONFIG, end)
    assert all(a != b for a, b in pairs) and len(set(pairs)) == len(pairs)


def test_a_run_is_diagnosed_only_where_it_is_asked_and_has_an_end_of_rl() -> None:
    assert study.diagnosed(CONFIG, 60) == []
    asked = {"diagnostics": {"prompts": 20}}
    assert study.diagnosed(load(asked), 60) == [("sft-60", "sft-600", "rl-grpo-600-30")]
    assert study.diagnosed(load({**asked, "rl": {"runs": []}}), 60) == []


def test_a_matched_recipe_carries_the_recipe_it_is_matched_to() -> None:
    known = study.recipe_named(CONFIG, "interpolate-equal-norm")
    assert known["matched"]["name"] == "directions-top20"
    assert study.recipe_named(CONFIG, "directions-top20")["matched"] is None


@pytest.mark.parametrize("label", ["base", "sft-60", "lora-60", "rl-ppo-60", "rl-shuffled-60-30"])
def test_a_label_is_read_back_from_its_checkpoint(label: str) -> None:
    assert Checkpoint.parse(label).label == label


def test_an_rl_run_without_an_update_stands_for_its_last() -> None:
    run = Checkpoint.parse("rl-grpo-600")
    assert (run.algorithm, run.start, run.step) == ("grpo", 600, None)
