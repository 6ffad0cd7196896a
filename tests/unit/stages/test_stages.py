# SPDX-License-Identifier: MIT
"""Stages: files that continue each other, variants that are what their recipes say."""

import json
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
from derotate.stages.evaluate import evaluate_checkpoint, items
from derotate.stages.factors import factorise_checkpoint
from derotate.stages.landmarks import choose
from derotate.stages.surgery import Operation, evaluate_variant, matched_amount, operate
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


def operation(donor: Path, patient: Path) -> Operation:
    factors = (side.with_suffix(".safetensors") for side in (donor, patient))
    return Operation.read(donor, patient, *factors, passing=donor.with_name("passing"))


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
        write_sft_samples(
            TASK, style="compact", seed=5, batch_size=8, after=after, last=last, out=out
        )
        return out.read_text().splitlines()

    assert lines(0, 3) + lines(3, 5) == lines(0, 5)
    assert len(set(lines(0, 5))) == 40
    assert all(json.loads(line)["prompt"].startswith("rule J = 10") for line in lines(0, 5))


def test_training_hands_are_of_the_train_fold_only(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    write_sft_samples(TASK, style="compact", seed=5, batch_size=64, after=0, last=20, out=out)
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
    sides: tuple[Path, Path, Path],
) -> None:
    donor, patient, _ = sides
    model, _ = checkpoints.load(patient)
    norm = operate(model, operation(donor, patient), Recipe(name="rollback", part="rollback"))
    wanted, own = checkpoints.load_state(donor), checkpoints.load_state(patient)
    distance = 0.0
    for name, parameter in model.named_parameters():
        source = wanted if "_proj" in name else own
        assert torch.equal(parameter, source[name])
        if "_proj" in name:
            distance += float((wanted[name].double() - own[name].double()).square().sum())
    assert norm == pytest.approx(distance**0.5)


def test_a_second_operation_starts_from_the_patient_again(sides: tuple[Path, Path, Path]) -> None:
    donor, patient, _ = sides
    model, _ = checkpoints.load(patient)
    known = operation(donor, patient)
    empty = Recipe(name="nothing", part="directions", band=Band(fraction=0.0))
    operate(model, known, Recipe(name="rollback", part="rollback"))
    assert operate(model, known, empty) == 0.0
    own = checkpoints.load_state(patient)
    assert all(torch.equal(parameter, own[name]) for name, parameter in model.named_parameters())


def test_an_interpolation_matched_in_norm_has_the_norm(sides: tuple[Path, Path, Path]) -> None:
    donor, patient, problems = sides
    model, tokenizer = checkpoints.load(patient)
    known = operation(donor, patient)
    directions = Recipe(name="directions", part="directions", band=Band(fraction=0.2))
    matched = Recipe(name="equal", part="interpolate", match="norm:directions")
    amount = matched_amount(
        model, tokenizer, known, matched, directions, items(TASK, "compact", problems)
    )
    assert operate(model, known, matched, amount) == pytest.approx(
        operate(model, known, directions)
    )


def test_a_variant_is_scored_like_the_checkpoint_it_equals(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    donor, patient, problems = sides
    out = {"parquet": tmp_path / "a.parquet", "csv": tmp_path / "a.csv"}
    evaluate_checkpoint(
        TASK, style="compact", checkpoint=patient, problems=problems, settings=SETTINGS, seed=1,
        **out,
    )  # fmt: skip
    variant = {"parquet": tmp_path / "b.parquet", "csv": tmp_path / "b.csv"}
    evaluate_variant(
        TASK, style="compact", recipe=Recipe(name="none", part="interpolate", amount=0.0),
        matched=None, checkpoint=patient, recorded=out["parquet"], guards=Guards(),
        operation=operation(donor, patient), problems=problems,
        settings=SETTINGS, seed=1, facts=tmp_path / "facts.json", **variant,
    )  # fmt: skip
    assert out["csv"].read_bytes() == variant["csv"].read_bytes()
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["edit_norm"] == 0 and facts["from_rollback"] == facts["donor_distance"]
    assert facts["patient_loss_difference"] < 1e-4


def test_a_patient_that_is_not_the_one_evaluated_is_refused_and_nothing_is_written(
    sides: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    donor, patient, problems = sides
    evaluate_checkpoint(
        TASK, style="compact", checkpoint=donor, problems=problems, settings=SETTINGS, seed=1,
        parquet=tmp_path / "a.parquet", csv=tmp_path / "a.csv",
    )  # fmt: skip
    with pytest.raises(GuardError, match="the loaded model's losses differ by"):
        evaluate_variant(
            TASK, style="compact", recipe=Recipe(name="none", part="interpolate", amount=0.0),
            matched=None, checkpoint=patient, recorded=tmp_path / "a.parquet", guards=Guards(),
            operation=operation(donor, patient), problems=problems, settings=SETTINGS, seed=1,
            parquet=tmp_path / "b.parquet", csv=tmp_path / "b.csv", facts=tmp_path / "facts.json",
        )  # fmt: skip
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
