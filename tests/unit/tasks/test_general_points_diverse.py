# SPDX-License-Identifier: MIT
"""The arm with varied prompts: what its SFT sees, which differs from plain SFT in rules alone."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from derotate.stages.data import write_sft_samples
from derotate.study.arms import ARMS
from derotate.tasks.general_points.answers import grade
from derotate.tasks.general_points.diverse import diverse_stream
from derotate.tasks.general_points.problems import (
    FACES,
    ID_RULE,
    OOD_RULE,
    SPLITS,
    Problem,
    generate,
)
from derotate.tasks.general_points.streams import id_stream

COUNT = 5000


@pytest.fixture(scope="module")
def shown() -> list[Problem]:
    """What SFT with seed 1 sees in its first 78 steps."""
    return list(islice(diverse_stream(1), COUNT))


def test_no_number_set_is_shown_that_rl_the_landmarks_or_the_tables_use(
    shown: list[Problem],
) -> None:
    held_out = {
        problem.cluster
        for split in SPLITS
        for problem in generate(split, 1, seed=0)
        if problem.fold not in ("train", "trace")
    }
    assert held_out.isdisjoint(problem.cluster for problem in shown)
    assert {problem.fold for problem in shown} == {"train", "trace"}
    for problem in shown:
        assert (problem.fold == "trace") == (max(problem.numbers) > 10), problem


def test_the_ood_rule_is_never_shown_though_each_of_its_values_is(shown: list[Problem]) -> None:
    assert OOD_RULE not in {problem.rule for problem in shown}
    for place, (face, value) in enumerate(zip(FACES, OOD_RULE, strict=True)):
        assert any(face in p.cards and p.rule[place] == value for p in shown), face


def test_rules_vary_in_the_prompt_and_in_what_follows_from_it(shown: list[Problem]) -> None:
    rules = Counter(problem.rule for problem in shown)
    assert len(rules) == 4**3 - 1
    assert max(rules.values()) < COUNT / 20
    # the ID rule would give another answer
    other = [
        problem
        for problem in shown
        if any(card in FACES for card in problem.cards) and max(problem.numbers) > 10
    ]
    assert 0.1 < len(other) / COUNT < 0.2
    assert len({problem.cluster for problem in other}) > 50


def test_hands_are_those_of_plain_sft_in_its_order(shown: list[Problem]) -> None:
    plain = list(islice(id_stream("train", 1), COUNT))
    assert [problem.cards for problem in shown] == [problem.cards for problem in plain]
    assert {problem.rule for problem in plain} == {ID_RULE}


def test_a_seed_is_a_stream_and_another_seed_another(shown: list[Problem]) -> None:
    assert list(islice(diverse_stream(1), COUNT)) == shown
    assert list(islice(diverse_stream(2), COUNT)) != shown
    assert len({problem.name for problem in shown}) == COUNT


def test_each_response_is_right_under_the_rule_of_its_prompt(
    shown: list[Problem], tmp_path: Path
) -> None:
    out = tmp_path / "samples.jsonl"
    stream = ARMS["diverse"].stream
    settings = {"style": "compact", "seed": 1, "batch_size": 10, "out": out, "stream": stream}
    write_sft_samples("general_points", steps=(0, 30), **settings)
    lines = out.read_text(encoding="utf-8").splitlines()
    for problem, line in zip(shown, lines, strict=False):
        sample = json.loads(line)
        rule = " ".join(
            f"{face} = {value}" for face, value in zip(FACES, problem.rule, strict=True)
        )
        assert sample["prompt"].startswith(f"rule {rule} ;")
        assert grade(problem, sample["response"], "compact").correct
    write_sft_samples("general_points", steps=(20, 30), **settings)
    assert out.read_text(encoding="utf-8").splitlines() == lines[200:]


def test_a_task_whose_prompts_cannot_vary_has_no_such_samples(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="task: got rank, expected one with the part diverse"):
        write_sft_samples(
            "rank", style="compact", seed=1, batch_size=1, steps=(0, 1), out=tmp_path / "x",
            stream=ARMS["diverse"].stream,
        )  # fmt: skip
