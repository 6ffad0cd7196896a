# SPDX-License-Identifier: MIT
"""Hands, folds and splits: what must never leak, and exact sizes."""

import random
from collections import Counter
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derotate.tasks.general_points.problems import (
    FACES,
    ID_RULE,
    OOD_RULE,
    SPLITS,
    Problem,
    cluster_of,
    deal,
    fold_of,
    generate,
    map_cards,
    rule_of,
    solvable_sets,
)
from derotate.tasks.general_points.solver import solve

RULES = list(product(range(10, 14), repeat=3))


def test_fold_sizes_are_the_exact_shares() -> None:
    plain = Counter(fold_of(numbers) for numbers in solvable_sets(with_large=False))
    assert plain == {"train": 340, "rl": 141, "selection": 28, "test": 57}
    large = Counter(fold_of(numbers) for numbers in solvable_sets(with_large=True))
    assert large == {"trace": 159, "selection": 159, "test": 478}


def test_folds_are_pinned() -> None:
    # A change here moves problems between training and test: results are no longer comparable.
    assert fold_of((3, 3, 8, 8)) == "rl"
    assert fold_of((1, 2, 3, 4)) == "rl"
    assert fold_of((6, 6, 6, 6)) == "train"
    assert fold_of((3, 5, 11, 12)) == "test"
    assert fold_of((1, 1, 1, 13)) == "test"


def test_every_order_of_a_hand_is_in_one_fold() -> None:
    assert {fold_of(order) for order in permutations((2, 5, 10, 11))} == {fold_of((2, 5, 10, 11))}


def test_a_hand_without_solution_is_in_no_fold() -> None:
    with pytest.raises(ValueError, match=r"1-1-1-1: expected four of 1\.\.13 that reach 24"):
        fold_of((1, 1, 1, 1))


def test_no_number_set_is_in_two_folds_whatever_the_split() -> None:
    folds: dict[str, set[str]] = {}
    for split in SPLITS:
        for problem in generate(split, orders=2, seed=7):
            folds.setdefault(problem.cluster, set()).add(problem.fold)
    assert len(folds) == 1362
    assert all(len(found) == 1 for found in folds.values())


def test_what_fine_tuning_sees_has_no_number_of_the_ood_faces() -> None:
    for split in ("id", "id_faces"):
        assert all(max(problem.numbers) <= 10 for problem in generate(split, 1, 0))
    assert all(max(problem.numbers) > 10 for problem in generate("ood", 1, 0))


@pytest.mark.parametrize(
    ("split", "sets"), [("id", 566), ("id_faces", 162), ("ood", 796), ("ood_plain", 566)]
)
def test_each_solvable_set_of_a_split_is_dealt_as_often_as_asked(split: str, sets: int) -> None:
    problems = generate(split, orders=3, seed=1)
    assert len(problems) == 3 * sets
    assert set(Counter(problem.cluster for problem in problems).values()) == {3}
    assert len({problem.name for problem in problems}) == len(problems)
    assert all(solve(problem.numbers) for problem in problems)
    assert {problem.rule for problem in problems} == {rule_of(split)}


def test_faces_are_where_the_split_says() -> None:
    def with_face(split: str) -> set[bool]:
        return {any(card in FACES for card in problem.cards) for problem in generate(split, 2, 3)}

    assert with_face("id") == {True, False}
    assert with_face("id_faces") == with_face("ood") == {True}
    assert with_face("ood_plain") == {False}


def test_orders_differ_where_the_hand_has_that_many() -> None:
    for problem_a, problem_b in zip(*[iter(generate("ood", 2, 5))] * 2, strict=True):
        assert problem_a.cluster == problem_b.cluster
        # four equal numbers have one order under the OOD rule
        if len(set(problem_a.numbers)) > 1:
            assert problem_a.cards != problem_b.cards


def test_a_ten_is_shown_as_ten_and_each_face_alike() -> None:
    tens = Counter(
        card
        for problem in generate("id", 20, 0)
        for card, number in zip(problem.cards, problem.numbers, strict=True)
        if number == 10
    )
    assert set(tens) == {"10", *FACES}
    share = sum(tens.values()) / 4
    assert all(abs(count / share - 1) < 0.1 for count in tens.values())


def test_a_split_is_a_function_of_its_seed() -> None:
    assert generate("id", 2, 4) == generate("id", 2, 4)
    assert generate("id", 2, 4) != generate("id", 2, 5)
    # more orders keep the first ones: a larger study contains the smaller one
    few = {problem.name: problem for problem in generate("ood", 2, 4)}
    many = {problem.name: problem for problem in generate("ood", 3, 4)}
    assert all(many[name] == problem for name, problem in few.items())


def test_a_name_is_readable_and_pinned() -> None:
    problem = next(p for p in generate("ood", 2, 1) if p.cluster == "3-5-11-12")
    assert problem.name == "ood-3-5-11-12-0"
    assert sorted(problem.cards) == ["3", "5", "J", "Q"]
    assert problem.numbers == map_cards(problem.cards, OOD_RULE)


@given(
    cards=st.lists(st.sampled_from([*map(str, range(1, 11)), *FACES]), min_size=4, max_size=4).map(
        tuple
    ),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 1000),
)
def test_dealt_cards_map_back_to_their_numbers(
    cards: tuple[str, ...], rule: tuple[int, int, int], seed: int
) -> None:
    numbers = map_cards(cards, rule)
    dealt = deal(numbers, rule, random.Random(seed))
    assert sorted(map_cards(dealt, rule)) == sorted(numbers)


@given(
    cards=st.lists(st.sampled_from([*map(str, range(1, 11)), *FACES]), min_size=1, max_size=6).map(
        tuple
    ),
    rule=st.sampled_from(RULES),
    target=st.integers(0, 99),
)
def test_a_problem_survives_csv(
    cards: tuple[str, ...], rule: tuple[int, int, int], target: int
) -> None:
    problem = Problem("a", "ood", "test", cards, rule, target)
    as_text = {key: str(value) for key, value in problem.to_row().items()}
    assert Problem.from_row(as_text) == problem
    assert problem.cluster == cluster_of(problem.numbers)


def test_a_number_without_a_card_cannot_be_dealt() -> None:
    with pytest.raises(ValueError, match="number 12: no card stands for it"):
        deal((1, 2, 3, 12), (10, 11, 13), random.Random(0))


@pytest.mark.parametrize("card", ["A", "0", "11", "j", "1\u0660", "", "-3"])
def test_a_card_that_is_none_is_named(card: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of 1\.\.10, J, Q, K"):
        Problem("a", "id", "test", ("3", card), ID_RULE)


def test_bad_arguments_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="split 'odd': expected one of id, ood"):
        generate("odd", 1, 0)
    with pytest.raises(ValueError, match="orders 0: expected at least 1"):
        generate("id", 0, 0)
    with pytest.raises(ValueError, match="no cards"):
        Problem("a", "id", "test", (), ID_RULE)
