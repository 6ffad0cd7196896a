# SPDX-License-Identifier: MIT
"""Which jobs an edit reruns: exact counts, so that no result is stale and no job runs in vain.

A case is one edit of a finished study (study.yaml) and the jobs that Snakemake then plans. The
study has two SFT segments of one checkpoint each (steps 4 and 8), GRPO from step 8, two forward
recipes, a reverse one, and diagnostics; max_ood is step 4. Snakemake cannot plan the jobs behind a
landmarks checkpoint that is remade. Such edits are also run, and the finished jobs are counted.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import COUNTED, dry_run, edit, run

TASK = "src/derotate/tasks/general_points"
LOCK = "envs/requirements.lock"


@dataclass(frozen=True)
class Edit:
    """A replacement of one text in a file."""

    file: str
    old: str
    new: str

    def apply(self, folder: Path) -> None:
        """Edit a copy of the checkout."""
        edit(folder, self.file, self.old, self.new)


DOCSTRING = Edit(
    "src/derotate/evaluation/evaluate.py", '"""Batched evaluation:', '"""Evaluation, batched:'
)
COMMENT = Edit("src/derotate/models/checkpoint.py", "\nimport os\n", "\n# a comment\nimport os\n")
SCRIPT_COMMENT = Edit("workflow/scripts/rl.py", "\nfrom pathlib", "\n# a comment\nfrom pathlib")
STYLE = Edit("src/derotate/figures/style.py", "DPI: Final = 200", "DPI: Final = 100")
PUBLISHED = Edit("results/published/stages.csv", ",68.38,%,234,yes,", ",68.80,%,234,yes,")
ANGLES = Edit("src/derotate/spectral/angles.py", "sines.clamp(max=1.0)", "sines.clamp(max=0.5)")
EVALUATION = Edit("src/derotate/evaluation/evaluate.py", 'f"{seed} {part}"', 'f"{part} {seed}"')
REWARD = Edit(f"{TASK}/rewards.py", "VERSION: Final = 1", "VERSION: Final = 2")
PROMPT = Edit(
    f"{TASK}/prompts.py",
    "f\"rule {rule} ; cards {' '.join(problem.cards)} ; numbers\"",
    "f\"cards {' '.join(problem.cards)} ; rule {rule} ; numbers\"",
)
LEARNING_RATE = Edit(COUNTED, "grpo: {updates: 1,", "grpo: {learning_rate: 1.0e-4, updates: 1,")
SFT_STATES = Edit(COUNTED, "[[4], [8]]\n", "[[4], [8]]\n  compute: {save_state_every: 2}\n")
RL_STATES = Edit(
    COUNTED, "grpo: {updates: 1,", "grpo: {compute: {save_state_every: 1}, updates: 1,"
)
GPUS = Edit(COUNTED, "rl:\n", "gpu: true\nrl:\n")
RECIPE = Edit(
    COUNTED,
    "  recipes:\n",
    "  recipes:\n    - {name: values-all, part: values, band: {fraction: 1.0}}\n",
)
SEGMENT = Edit(COUNTED, "[[4], [8]]", "[[4], [8], [12]]")
LAST_WINS = Edit(
    "src/derotate/stages/landmarks.py", "(scores[step], -step)", "(scores[step], step)"
)

# Jobs downstream of the RL run: evaluation, factors, two pairs, the reverse surgery into it and its
# diagnostics.
AFTER_GRPO = {
    "grpo": 1,
    "evaluate": 1,
    "factors": 1,
    "spectra": 2,
    "surgery": 1,
    "states": 1,
    "weights": 1,
    "tables": 1,
    "claims": 1,
    "figures": 1,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(DOCSTRING, {}, id="a docstring: the digest covers only what Python executes"),
        pytest.param(COMMENT, {}, id="a comment in the package: likewise"),
        pytest.param(
            SCRIPT_COMMENT, AFTER_GRPO, id="a comment in a script: Snakemake compares its bytes"
        ),
        pytest.param(
            STYLE,
            {"accuracy_by_step": 1, "figures": 1},
            id="the style of figures: redrawn",
        ),
        pytest.param(PUBLISHED, {"figures": 1}, id="a published number: redrawn, no table"),
        pytest.param(
            ANGLES,
            {
                "spectra": 5,
                "surgery": 3,
                "weights": 1,
                "tables": 1,
                "claims": 1,
                "figures": 1,
            },
            id="a helper that spectra, surgery and diagnostics import through others",
        ),
        pytest.param(
            EVALUATION,
            {
                "evaluate_base": 1,
                "evaluate_sft": 2,
                "evaluate": 1,
                "landmarks": 1,
                "accuracy_by_step": 1,
                "tables": 1,
                "claims": 1,
                "figures": 1,
            },
            id="the evaluation: no training",
        ),
        pytest.param(REWARD, AFTER_GRPO, id="the reward: RL and what follows, no data, no SFT"),
        pytest.param(
            PROMPT,
            {
                "base": 1,
                "evaluate_base": 1,
                "sft_samples": 2,
                "sft_to_4": 1,
                "sft_to_8": 1,
                "evaluate_sft": 2,
                "evaluate": 1,
                "landmarks": 1,
                "grpo": 1,
                "accuracy_by_step": 1,
                "tables": 1,
                "claims": 1,
                "figures": 1,
            },
            id="the prompt: all but the problems, since the base is trained on it",
        ),
        pytest.param(LEARNING_RATE, AFTER_GRPO, id="a config key of RL: RL and what follows"),
        pytest.param(SFT_STATES, {}, id="which states SFT saves: no result"),
        pytest.param(RL_STATES, {}, id="which states RL saves: likewise"),
        pytest.param(GPUS, {}, id="where jobs run: likewise"),
        pytest.param(
            RECIPE,
            {"surgery": 1, "tables": 1, "claims": 1, "figures": 1},
            id="a recipe: its surgery and the aggregates",
        ),
        pytest.param(
            SEGMENT,
            {
                "sft_samples": 1,
                "sft_to_12": 1,
                "evaluate_sft": 1,
                "landmarks": 1,
                "accuracy_by_step": 1,
                "tables": 1,
                "claims": 1,
                "figures": 1,
            },
            id="a later segment: it resumes, no earlier segment runs",
        ),
    ],
)
def test_an_edit_reruns_exactly_the_affected_jobs(
    study: Path, change: Edit, expected: dict[str, int]
) -> None:
    change.apply(study)
    assert dry_run(study) == expected


def bump_torch(study: Path) -> None:
    """Raise the pin of torch in the lock file."""
    pin = re.search(r"^torch==\S+", (study / LOCK).read_text(encoding="utf-8"), re.MULTILINE)
    assert pin is not None
    edit(study, LOCK, f"\n{pin[0]}\n", "\ntorch==99.0.0\n")


def test_another_torch_in_the_lock_file_reruns_the_rules_that_use_torch(study: Path) -> None:
    bump_torch(study)
    assert dry_run(study) == {
        "base": 1,
        "evaluate_base": 1,
        "sft_to_4": 1,
        "sft_to_8": 1,
        "evaluate_sft": 2,
        "evaluate": 1,
        "landmarks": 1,
        "grpo": 1,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }


def test_a_comment_in_the_lock_file_reruns_nothing(study: Path) -> None:
    with (study / LOCK).open("a", encoding="utf-8") as lock:
        lock.write("# a comment\n")
    assert dry_run(study) == {}


@pytest.mark.slow
def test_a_later_segment_that_is_not_max_ood_reruns_no_job_behind_landmarks(study: Path) -> None:
    SEGMENT.apply(study)
    assert run(study) == {
        "sft_samples": 1,
        "sft_to_12": 1,
        "evaluate_sft": 1,
        "landmarks": 1,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }
    assert dry_run(study) == {}


@pytest.mark.slow
def test_a_later_segment_that_is_max_ood_adds_its_own_jobs_in_the_same_run(
    study: Path,
) -> None:
    SEGMENT.apply(study)
    # an untrained model scores 0 at every step; now ties go to the last step
    LAST_WINS.apply(study)
    assert run(study) == {
        "sft_samples": 1,
        "sft_to_12": 1,
        "evaluate_sft": 1,
        "landmarks": 1,
        "factors": 1,  # of step 12
        "spectra": 3,  # from the base, into sft_end, into rl_end
        "surgery": 2,  # forward; the reverse one does not depend on max_ood
        "states": 1,
        "weights": 1,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }
    assert dry_run(study) == {}


@pytest.mark.slow
def test_another_evaluation_also_reruns_the_surgery_behind_the_landmarks(study: Path) -> None:
    EVALUATION.apply(study)
    assert run(study) == {
        "evaluate_base": 1,
        "evaluate_sft": 2,
        "evaluate": 1,
        "landmarks": 1,
        "surgery": 3,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }


@pytest.mark.slow
def test_another_prompt_reruns_all_but_the_problems(study: Path) -> None:
    PROMPT.apply(study)
    assert run(study) == {
        "base": 1,
        "evaluate_base": 1,
        "sft_samples": 2,
        "sft_to_4": 1,
        "sft_to_8": 1,
        "evaluate_sft": 2,
        "evaluate": 1,
        "landmarks": 1,
        "grpo": 1,
        "base_factors": 1,
        "factors": 3,
        "spectra": 5,
        "surgery": 3,
        "states": 1,
        "weights": 1,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }


@pytest.mark.slow
def test_another_torch_also_reruns_the_torch_rules_behind_the_landmarks(study: Path) -> None:
    bump_torch(study)
    assert run(study) == {
        "base": 1,
        "evaluate_base": 1,
        "sft_to_4": 1,
        "sft_to_8": 1,
        "evaluate_sft": 2,
        "evaluate": 1,
        "landmarks": 1,
        "grpo": 1,
        "base_factors": 1,
        "factors": 3,
        "spectra": 5,
        "surgery": 3,
        "states": 1,
        "weights": 1,
        "accuracy_by_step": 1,
        "tables": 1,
        "claims": 1,
        "figures": 1,
    }
