# SPDX-License-Identifier: MIT
"""Every task has every part, and what a config leaves out is what its task needs."""

from __future__ import annotations

import ast
import dataclasses
from collections import Counter
from functools import cache
from typing import Any

import pytest

from derotate.config.schema import ConfigError, task_defaults
from derotate.config.schema import load as load_config
from derotate.study.provenance import ROOT, imported_modules
from derotate.tasks import TASKS, defaults, load
from derotate.tasks.interface import Task

PARTS = (
    "answers", "defaults", "feedback", "pretraining", "problems", "prompts", "rewards", "streams"
)  # fmt: skip
SPECIAL_TOKENS = 4
EACH = pytest.mark.parametrize("task", TASKS)


@cache
def problems(task: str) -> list[Any]:
    """All problems of a task, each shown once."""
    part = load(task).problems
    return [problem for split in part.SPLITS for problem in part.generate(split, 1, 0)]


@EACH
def test_a_task_has_every_part(task: str) -> None:
    for part in PARTS:
        assert getattr(load(task), part).__name__ == f"derotate.tasks.{task}.{part}"
    folder, known = ROOT / "tasks" / task, defaults(task)
    assert (folder / "chance.py").is_file() == known.guessable
    assert (folder / "success.py").is_file() == known.episodes
    assert (folder / "diverse.py").is_file() == known.varied_prompts


@EACH
def test_defaults_import_nothing_since_they_are_read_when_snakemake_plans(task: str) -> None:
    own = f"derotate.tasks.{task}"
    shared = {"derotate", "derotate.tasks", "derotate.tasks.task_defaults"}
    known = {*shared, own, f"{own}.defaults"}
    assert set(imported_modules(ROOT, [f"{own}.defaults"])) == known


@EACH
def test_the_default_study_of_a_task_has_its_mixture_its_suites_and_its_length(task: str) -> None:
    config, known = load_config({"task": task}), defaults(task)
    assert config == load_config({"task": task, **task_defaults(task)})
    kinds = config.base.mixture.model_dump()
    assert list(kinds) == list(known.mixture)
    assert len(list(load(task).pretraining.samples(tuple(kinds.items()), 1, 50))) == 50
    assert config.evaluation.max_new_tokens == known.max_new_tokens
    splits = [suite.split for suite in config.evaluation.suites]
    assert set(splits) == set(known.splits)
    folds = Counter((problem.split, problem.fold) for problem in problems(task))
    assert {(suite.split, suite.fold) for suite in config.evaluation.suites} <= set(folds)
    # what claims are about, and what an interpolation of equal loss is matched on
    needed = {("id", "train"), ("id", "rl"), ("id", "selection"), ("id", "test")}
    needed |= {("ood", "selection"), ("ood", "test")}
    assert needed <= {(suite.split, suite.fold) for suite in config.evaluation.suites}


@EACH
def test_stated_sizes_are_those_of_the_problems(task: str) -> None:
    known, prompts = defaults(task), load(task).prompts
    assert tuple(known.splits) == load(task).problems.SPLITS
    assert len(load(task).pretraining.WORDS) + SPECIAL_TOKENS == known.vocabulary
    asked = [len(prompts.prompt(problem, "compact").split()) for problem in problems(task)]
    right = [len(prompts.response(problem, "compact").split()) + 1 for problem in problems(task)]
    assert max(right) < known.max_new_tokens <= 2 * max(right)
    assert max(asked) + known.max_new_tokens <= known.length
    counted: dict[str, Counter[str]] = {split: Counter() for split in known.splits}
    for problem in problems(task):
        counted[problem.split][problem.fold] += 1
    assert {split: dict(folds) for split, folds in counted.items()} == known.problems


@EACH
def test_a_natural_answer_has_the_papers_limit_and_fits_it(task: str) -> None:
    known, prompts = defaults(task), load(task).prompts
    natural = {"task": task, "style": "natural", "model": {"pretrained": "./model"}}
    config = load_config(natural)
    assert config.evaluation.max_new_tokens == known.natural_max_new_tokens
    own = load_config({**natural, "evaluation": {"max_new_tokens": 7}})
    assert own.evaluation.max_new_tokens == 7
    longest = max(len(prompts.response(problem, "natural")) for problem in problems(task)[::20])
    # tokenizers of language models have two characters a token or more, also in JSON
    assert longest / 2 < known.natural_max_new_tokens


@EACH
def test_a_reference_answer_earns_what_logs_of_rl_count_as_correct(task: str) -> None:
    rewards, prompts = load(task).rewards, load(task).prompts
    best = rewards.REWARDS["correct"]
    assert best == max(rewards.REWARDS.values())
    for problem in problems(task)[::200]:
        assert rewards.reward(problem, prompts.response(problem, "compact"), "compact") == best


@EACH
def test_mypy_compares_just_the_parts_that_a_task_has(task: str) -> None:
    """`Task(...)` in the task's `__init__` names each part that exists, optional ones included."""
    folder = ROOT / "tasks" / task
    (call,) = (
        node
        for node in ast.walk(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )
    named = {str(part.arg) for part in call.keywords}
    fields = {field.name for field in dataclasses.fields(Task)}
    assert named == {name for name in fields if (folder / f"{name}.py").is_file()}


def test_a_share_changes_alone_and_the_others_stay_the_tasks_own() -> None:
    config = load_config({"task": "rank", "base": {"mixture": {"last": 0.198, "combine": 0.2}}})
    assert config.base.mixture.model_dump() == {
        "plain": 0.6, "last": 0.198, "combine": 0.2, "whole_id": 0.001, "whole_ood": 0.001,
    }  # fmt: skip
    assert hash(config) != hash(load_config({"task": "rank"}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"task": "chess"}, ("task: got 'chess'", *TASKS)),
        (
            {"task": "navigation", "base": {"mixture": {"plain": 0.5}}},
            ("base.mixture: got plain", "of navigation (tracking, sides", "correct it"),
        ),
        ({"base": {"mixture": {"plain": 0.5}}}, ("base.mixture: got shares that sum to 0.77",)),
        ({"base": {"mixture": {"plain": 2}}}, ("base.mixture.plain: got 2", "less than or equal")),
        (
            {"task": "rank", "evaluation": {"suites": [{"split": "id_faces", "fold": "test"}]}},
            ("evaluation.suites: got split id_faces", "of rank (id, ood)", "correct it"),
        ),
        ({"task": ["rank"]}, ("task: got ['rank']",)),
        ({"base": 5}, ("base: got 5",)),
    ],
)
def test_what_a_task_does_not_know_is_one_line(
    values: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(values)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
