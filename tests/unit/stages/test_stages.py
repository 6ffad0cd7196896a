# SPDX-License-Identifier: MIT
"""Stages: files that continue each other, variants that are what their recipes say."""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import torch

from derotate.config.evaluation import Evaluation
from derotate.config.model import TinyModel
from derotate.config.recipes import Band, Recipe
from derotate.config.schema import Config
from derotate.config.surgery import Guards
from derotate.models import checkpoint as checkpoints
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import save_factors
from derotate.spectral.guards import GuardError
from derotate.stages.data import read_problems, write_problems, write_sft_samples
from derotate.stages.evaluate import EvaluationJob, evaluate_checkpoint, items
from derotate.stages.factors import factorise_checkpoint
from derotate.stages.landmarks import choose
from derotate.stages.surgery import SurgeryJob, evaluate_variant, matched_amount
from derotate.surgery.band_edits import edited_names
from derotate.surgery.in_memory import set_variant
from derotate.tasks.general_points.pretraining import WORDS
from derotate.tasks.general_points.problems import fold_of, generate
from derotate.tasks.general_points.streams import oracle_stream

TASK = "general_points"
SMALL = TinyModel(hidden_size=16, intermediate_size=32, layers=2, heads=2)
SETTINGS = Evaluation(samples=0, max_new_tokens=4, batch_size=8)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Donor, patient and problems; each model directory has its factors beside it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sides")
    tokenizer = tiny_tokenizer(WORDS)
    for name, seed in (("donor", 1), ("patient", 2)):
        checkpoints.save(tiny_model(SMALL, tokenizer, seed), tokenizer, folder / name)
        state = checkpoints.load_state(folder / name)
        matrices = {key: value for key, value in state.items() if "_proj" in key}
        factors = {key: factorise(value) for key, value in matrices.items()}
        save_factors(folder / f"{name}.safetensors", factors)
    suites = [{"split": "id", "fold": "selection", "orders": 1, "limit": 6}]
    write_problems(TASK, suites, folder / "problems.csv")
    return folder / "donor", folder / "patient", folder / "problems.csv"


def scoring(checkpoint: Path, problems: Path, rows: Path) -> EvaluationJob:
    """An evaluation whose rows go to `rows` with the suffixes .parquet and .csv."""
    return EvaluationJob(
        task=TASK,
        style="compact",
        checkpoint=checkpoint,
        problems=problems,
        settings=SETTINGS,
        seed=1,
        parquet=rows.with_suffix(".parquet"),
        csv=rows.with_suffix(".csv"),
    )


def variant(
    recipe: Recipe,
    sides: tuple[Path, Path, Path],
    folder: Path,
    matched: Recipe | None = None,
) -> SurgeryJob:
    """A surgery of the donor into the patient, whose own evaluation is folder/a.parquet."""
    donor, patient, problems = sides
    return SurgeryJob(
        recipe=recipe,
        matched=matched,
        donor=donor,
        factors=(donor.with_suffix(".safetensors"), patient.with_suffix(".safetensors")),
        recorded=folder / "a.parquet",
        guards=Guards(),
        evaluation=scoring(patient, problems, folder / "b"),
        facts=folder / "facts.json",
    )


def test_the_oracle_trains_on_both_rules_and_on_no_problem_that_is_scored() -> None:
    dealt = list(islice(oracle_stream(seed=1), 2000))
    assert [problem.split for problem in dealt[:4]] == ["id", "ood", "id", "ood"]
    assert {problem.fold for problem in dealt if problem.split == "ood"} == {"trace"}
    scored = {
        problem.cluster
        for split in ("id", "ood")
        for problem in generate(split, 1, seed=0)
        if problem.fold in ("rl", "selection", "test")
    }
    assert scored.isdisjoint(problem.cluster for problem in dealt)
    assert dealt == list(islice(oracle_stream(seed=1), 2000))


def test_segments_continue_one_stream_of_training_hands(tmp_path: Path) -> None:
    def lines(after: int, last: int) -> list[str]:
        out = tmp_path / f"{after}-{last}.jsonl"
        write_sft_samples(TASK, style="compact", seed=5, batch_size=8, steps=(after, last), out=out)
        return out.read_text().splitlines()

    assert lines(0, 3) + lines(3, 5) == lines(0, 5)
    assert len(set(lines(0, 5))) == 40
    assert all(json.loads(line)["prompt"].startswith("rule J = 10") for line in lines(0, 5))


def test_training_hands_are_of_the_train_fold_only(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    write_sft_samples(TASK, style="compact", seed=5, batch_size=64, steps=(0, 20), out=out)
    for line in out.read_text().splitlines():
        numbers = json.loads(line)["response"].split(" ; ")[0].split()
        assert fold_of([int(number) for number in numbers]) == "train"


def test_problems_are_of_their_suite_and_within_its_limit(tmp_path: Path) -> None:
    suites = [
        {"split": "ood", "fold": "test", "orders": 1, "limit": 7},
        {"split": "id", "fold": "test", "orders": 2, "limit": None},
    ]
    write_problems(TASK, suites, tmp_path / "problems.csv")
    problems = read_problems(TASK, tmp_path / "problems.csv")
    assert [p.split for p in problems] == ["ood"] * 7 + ["id"] * 114
    assert {p.fold for p in problems} == {"test"}
    assert len({p.name for p in problems}) == len(problems)


def test_a_rollback_of_all_matrices_answers_as_the_donor_but_for_the_rest(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    donor, patient, _ = sides
    model, _ = checkpoints.load(patient)
    rollback = Recipe(name="rollback", part="rollback")
    norm = set_variant(model, variant(rollback, sides, tmp_path).surgery())
    wanted, own = checkpoints.load_state(donor), checkpoints.load_state(patient)
    distance = 0.0
    for name, parameter in model.named_parameters():
        source = wanted if "_proj" in name else own
        assert torch.equal(parameter, source[name])
        if "_proj" in name:
            distance += float((wanted[name].double() - own[name].double()).square().sum())
    assert norm == pytest.approx(distance**0.5)


def test_a_second_variant_starts_from_the_patient_again(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, patient, _ = sides
    model, _ = checkpoints.load(patient)
    empty = Recipe(name="nothing", part="directions", band=Band(fraction=0.0))
    rollback = variant(Recipe(name="rollback", part="rollback"), sides, tmp_path).surgery()
    set_variant(model, rollback)
    assert set_variant(model, rollback.with_recipe(empty)) == 0.0
    own = checkpoints.load_state(patient)
    assert all(torch.equal(parameter, own[name]) for name, parameter in model.named_parameters())


DIRECTIONS = Recipe(name="directions", part="directions", band=Band(fraction=0.2))


def test_an_interpolation_matched_in_norm_has_the_norm(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, patient, problems = sides
    model, tokenizer = checkpoints.load(patient)
    equal = Recipe(name="equal", part="interpolate", match="norm:directions")
    matched = variant(equal, sides, tmp_path).surgery()
    problem_items = items(TASK, "compact", problems)
    amount = matched_amount(model, tokenizer, matched, DIRECTIONS, problem_items).amount
    norm = set_variant(model, matched.with_recipe(DIRECTIONS))
    assert set_variant(model, matched, amount) == pytest.approx(norm)


@pytest.mark.parametrize(
    ("match", "recipes"), [(None, ["r"]), ("norm", ["r", "directions"]),
                           ("id_loss", ["r", "directions"])]
)  # fmt: skip
def test_the_matrices_of_a_recipe_are_resolved_once_per_variant(
    sides: tuple[Path, Path, Path],
    match: str | None,
    recipes: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved: list[str] = []

    def counted(recipe: Recipe, names: Iterable[str]) -> list[str]:
        resolved.append(recipe.name)
        return edited_names(recipe, names)

    monkeypatch.setattr("derotate.surgery.apply.edited_names", counted)
    evaluate_checkpoint(scoring(sides[1], sides[2], tmp_path / "a"))
    amount = {"match": f"{match}:directions"} if match else {"amount": 0.5}
    recipe = Recipe.model_validate({"name": "r", "part": "interpolate", **amount})
    evaluate_variant(variant(recipe, sides, tmp_path, DIRECTIONS if match else None))
    assert resolved == recipes


def test_a_variant_is_scored_like_the_checkpoint_it_equals(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, patient, problems = sides
    evaluate_checkpoint(scoring(patient, problems, tmp_path / "a"))
    none = Recipe(name="none", part="interpolate", amount=0.0)
    evaluate_variant(variant(none, sides, tmp_path))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["edit_norm"] == 0 and facts["from_rollback"] == facts["donor_distance"]
    assert facts["patient_loss_difference"] < 1e-4


def test_a_patient_that_is_not_the_one_evaluated_is_refused_and_nothing_is_written(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    donor, _, problems = sides
    evaluate_checkpoint(scoring(donor, problems, tmp_path / "a"))
    none = Recipe(name="none", part="interpolate", amount=0.0)
    with pytest.raises(GuardError, match="the loaded model's losses differ by"):
        evaluate_variant(variant(none, sides, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"a.parquet", "a.csv"}


def test_random_weights_are_refused_before_their_spectrum_is_used(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    donor, _, _ = sides
    out = tmp_path / "factors.safetensors"
    with pytest.raises(GuardError, match="look like random weights") as error:
        factorise_checkpoint(donor, None, Guards(), out, tmp_path / "guards.csv")
    assert "\n" not in str(error.value) and not out.exists()
    factorise_checkpoint(donor, None, Guards(action="warn"), out, tmp_path / "guards.csv")
    assert out.exists()


def test_max_ood_is_the_earliest_best_step_on_the_selection_fold(tmp_path: Path) -> None:
    scores = {20: 0.25, 60: 0.5, 100: 0.5, 200: 0.0}
    for step, score in scores.items():
        correct = [1, 0, 0, 0] if score == 0.25 else [int(score > 0), 0]
        rows = [("ood", "selection", "greedy", c) for c in correct]
        rows += [("ood", "test", "greedy", int(step == 200)), ("ood", "selection", "sample", 1)]
        pd.DataFrame(rows, columns=["split", "fold", "decoding", "correct"]).to_parquet(
            tmp_path / f"{step}.parquet"
        )
    files = {step: tmp_path / f"{step}.parquet" for step in scores}
    choose(files, Config().landmarks.sft_end, tmp_path / "landmarks.json")
    assert json.loads((tmp_path / "landmarks.json").read_text())["max_ood"] == 60
