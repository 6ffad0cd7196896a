# SPDX-License-Identifier: MIT
"""`make bench` compares like with like: each baseline gives the same output as our code."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch

from derotate.config.model import TinyModel
from derotate.evaluation.evaluate import Decoding, respond
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.tasks.general_points.pretraining import WORDS
from derotate.tasks.general_points.solver import solve

ROOT = Path(__file__).resolve().parents[2]
SMALL = TinyModel(hidden_size=32, intermediate_size=64, layers=2, heads=2)


@pytest.fixture(autouse=True)
def folder_of_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts are not a package: put their folder on the path, as a run does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    "hand", [(3, 3, 8, 8), (1, 5, 5, 5), (6, 6, 6, 6), (1, 1, 1, 1), (11, 12, 13, 13)]
)
def test_the_enumeration_solves_the_hands_that_the_solver_solves(hand: tuple[int, ...]) -> None:
    solver = import_module("solver")

    formulas = solver.published_solve(hand)
    assert bool(formulas) == (solve(hand) is not None)
    assert all(eval(formula) == pytest.approx(24) for formula in formulas)


def test_a_formula_counts_only_if_the_grader_accepts_it() -> None:
    solver = import_module("solver")

    assert solver.graded_correct((3, 3, 8, 8), "8 / ( 3 - 8 / 3 )")
    assert not solver.graded_correct((3, 3, 8, 8), "8 * 3")
    assert not solver.graded_correct((3, 3, 8, 8), "8 + 8 + 3 + 3")


def test_the_published_surgery_makes_every_edit_of_the_grid() -> None:
    surgery = import_module("surgery")

    pairs = surgery.matrices(1, shape=(24, 40))
    (donor, patient) = pairs[0]
    edited = {name: weight for name, _, weight in surgery.our_surgery(pairs, surgery.GRID)}
    assert len(edited) == len(surgery.GRID) == 30
    for recipe in surgery.GRID:
        published = surgery.published_surgery(recipe, donor, patient)
        assert surgery.difference(edited[recipe.name], published, patient) < surgery.TOLERANCE


def test_the_bare_loop_has_the_losses_of_the_trainer() -> None:
    sft = import_module("sft")

    settings = sft.Optimisation(
        learning_rate=1e-3,
        batch_size=4,
        warmup_steps=3,
        schedule="constant_with_warmup",
        seed=1,
    )
    tokenizer = tiny_tokenizer(WORDS)
    samples = sft.id_samples(20 * settings.batch_size)
    trainer, bare = (
        training(tiny_model(SMALL, tokenizer, seed=1), tokenizer, samples, settings)
        for training in (sft.our_training, sft.bare_training)
    )
    assert len(trainer) == 2
    assert trainer == pytest.approx(bare, rel=sft.TOLERANCE)
    assert trainer[1] < trainer[0]


def test_one_at_a_time_answers_as_the_batch_does() -> None:
    evaluation = import_module("evaluation")
    tokenizer = tiny_tokenizer(WORDS)
    model = tiny_model(SMALL, tokenizer, seed=1).eval()
    prompts = ["cards 3 J 5 Q ; numbers", "solve target 24", "rule", "J Q K K J"]
    single = evaluation.one_at_a_time(model, tokenizer, prompts, max_new_tokens=4)
    assert single == respond(model, tokenizer, prompts, Decoding(max_new_tokens=4, batch_size=3))


def test_the_large_grid_has_the_cells_that_the_plan_must_show() -> None:
    grid, cells = import_module("plan").problem()
    assert cells >= 5000
    assert grid.core.of((1, 1)) > 0


def test_a_slow_repeat_moves_the_spread_but_not_the_ratio() -> None:
    found = import_module("comparison").Comparison(
        name="", baseline="", unit="", target=2.0, equal=True, checked="",
        ours_seconds=(1.0, 1.0, 1.0), baseline_seconds=(2.0, 9.0, 2.0),
    )  # fmt: skip
    assert (found.ratio, found.spread, found.met) == (2.0, (2.0, 9.0), True)


def test_a_fast_way_to_another_output_meets_no_target() -> None:
    found = import_module("comparison").Comparison(
        "", "", "", 2.0, (1.0,), (9.0,), equal=False, checked=""
    )
    assert not found.met


def test_the_workflows_that_are_planned_side_by_side_have_as_many_jobs_per_seed() -> None:
    dag = import_module("dag")

    one, two = dag.plan_study(seeds=1).jobs, dag.plan_study(seeds=2).jobs
    assert two - one == dag.plan_minimal(seeds=2).jobs - dag.plan_minimal(seeds=1).jobs
    assert abs(two - dag.plan_minimal(seeds=2).jobs) <= dag.SHARED_JOBS
    assert dag.plan_bare(two).jobs == two
