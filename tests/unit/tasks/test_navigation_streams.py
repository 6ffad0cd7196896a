# SPDX-License-Identifier: MIT
"""What fine-tuning and pretraining are shown, and what they never see."""

import re
from collections import Counter
from itertools import islice

import pytest

from derotate.tasks.navigation.compass import HEADINGS, side_of
from derotate.tasks.navigation.defaults import DEFAULTS
from derotate.tasks.navigation.pretraining import WORDS, samples
from derotate.tasks.navigation.problems import Problem, fold_of, generate
from derotate.tasks.navigation.prompts import compact_directions, compact_prompt, compact_response
from derotate.tasks.navigation.routes import ROUTES
from derotate.tasks.navigation.streams import id_stream, ood_stream, oracle_stream, steps


def texts(kind: str, count: int, seed: int = 0) -> list[str]:
    return [sample.completion for sample in samples([(kind, 1.0)], seed, count)]


def directions(*folds: str) -> set[str]:
    return {compact_directions(p) for p in generate("id", ROUTES, seed=0) if p.fold in folds}


def asked(text: str) -> str:
    """The directions in a compact prompt."""
    return " ; ".join(re.findall(r"\d (?!now)[a-z]+ [a-z]+(?= ;)", text.partition(" leg ")[0]))


def test_an_epoch_is_every_step_of_the_fold_once() -> None:
    known = steps("rl", "id")
    epochs = list(islice(id_stream("rl", 1), 2 * len(known)))
    first, second = epochs[: len(known)], epochs[len(known) :]

    def bare(problems: list[Problem]) -> list[str]:
        return [problem.name.rpartition("-")[0] for problem in problems]

    assert sorted(bare(first)) == sorted(bare(second)) == sorted(p.name for p in known)
    assert bare(first) != bare(second)
    assert len({problem.name for problem in epochs}) == len(epochs)
    assert {fold_of(problem.network) for problem in epochs} == {"rl"}


def test_a_stream_is_a_function_of_its_seed() -> None:
    def start(seed: int) -> list[Problem]:
        return list(islice(id_stream("train", seed), 50))

    assert start(1) == start(1)
    assert start(1) != start(2)


def test_the_ood_stream_has_whole_routes_under_the_ood_rule() -> None:
    epoch = list(islice(ood_stream("trace", 1), len(steps("trace", "id"))))
    assert {problem.rule for problem in epoch} == {"relative"}
    assert {"forward", "stop", "turn left"} < {problem.action for problem in epoch}
    assert {fold_of(problem.network) for problem in epoch} == {"trace"}


def test_the_oracle_learns_both_rules_of_folds_that_nothing_is_scored_on() -> None:
    shown = [(p.rule, fold_of(p.network)) for p in islice(oracle_stream(1), 40)]
    assert shown == [("absolute", "train"), ("relative", "trace")] * 20


def test_the_mixture_is_a_function_of_shares_and_seed() -> None:
    shares = tuple((kind, share) for kind, (share, _) in DEFAULTS.mixture.items())
    assert list(samples(shares, 1, 200)) == list(samples(shares, 1, 200))
    assert list(samples(shares, 1, 200)) != list(samples(shares, 2, 200))
    with pytest.raises(ValueError, match="pretraining sample 'plain': expected one of tracking"):
        next(samples([("plain", 1.0)], 0, 1))


def test_words_are_few_and_enough() -> None:
    assert len(WORDS) == len(set(WORDS)) <= 130
    known = set(WORDS)
    for kind in DEFAULTS.mixture:
        for text in texts(kind, 1000):
            assert known.issuperset(text.split(" "))
            assert len(text.split()) <= 60


def test_tracking_names_no_rule_and_no_direction_of_a_turn() -> None:
    allowed = {compact_response(p).rpartition(" ; ")[0] for p in steps("train", "id")}
    allowed |= {compact_response(p).rpartition(" ; ")[0] for p in steps("trace", "id")}
    for sample in samples([("tracking", 1.0)], 0, 3000):
        assert not sample.ends
        words = sample.completion.split()
        assert words[0] == "walk"
        assert not {"absolute", "relative", "left", "right", "stop"} & set(words)
        assert not re.search(rf"turn (?:{'|'.join(HEADINGS)})", sample.completion)
        assert sample.completion.partition(" leg ")[2] in allowed


@pytest.mark.parametrize(("kind", "rule"), [("sides", "relative"), ("headings", "absolute")])
def test_questions_give_all_48_turns_by_their_rule_and_no_walk(kind: str, rule: str) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for text in texts(kind, 3000):
        opening, *lines = text.split(" ; ")
        assert opening == rule
        for question, answer in zip(lines[::2], lines[1::2], strict=True):
            _, now, _, wanted = question.split()
            assert answer == f"turn {side_of(now, wanted) if kind == 'sides' else wanted}"
            counts[now, wanted] += 1
    assert len(counts) == 48
    total = sum(counts.values())
    north = sum(count for (now, _), count in counts.items() if now == "north")
    assert 0.5 < north / total < 0.57, "most questions face north"
    assert min(counts.values()) > total / 90 / 2, "and no turn is left out"


@pytest.mark.parametrize(
    ("kind", "rule"), [("whole_absolute", "absolute"), ("whole_relative", "relative")]
)
def test_whole_problems_are_those_of_the_trace_fold(kind: str, rule: str) -> None:
    splits = ("id",) if rule == "absolute" else ("ood", "ood_straight")
    known = {f"{compact_prompt(p)} {compact_response(p)}" for p in steps("trace", *splits)}
    found = list(samples([(kind, 1.0)], 0, 1000))
    assert known.issuperset(sample.completion for sample in found)
    assert all(sample.ends and not sample.prompt for sample in found)
    assert DEFAULTS.mixture[kind][0] <= 0.005


def test_the_base_sees_no_directions_of_rl_selection_or_test() -> None:
    unseen = directions("rl", "selection", "test")
    seen = directions("train", "trace")
    for kind in ("tracking", "whole_absolute", "whole_relative"):
        found = {asked(text) for text in texts(kind, 3000)}
        assert found.isdisjoint(unseen)
        assert found <= seen
