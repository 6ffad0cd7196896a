# SPDX-License-Identifier: MIT
"""The solver against brute force over fractions that shares no code with it."""

import random
import re
from fractions import Fraction
from itertools import combinations, combinations_with_replacement

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.general_points.answers import parse
from derotate.tasks.general_points.solver import solution_table, solve

ALL_HANDS = list(combinations_with_replacement(range(1, 14), 4))


def can_make(numbers: list[Fraction], target: int) -> bool:
    """Brute force: join any two numbers by any operation until one is left."""
    if len(numbers) == 1:
        return numbers[0] == target
    for i, j in combinations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = [number for k, number in enumerate(numbers) if k not in (i, j)]
        joined = {a + b, a - b, b - a, a * b}
        if b:
            joined.add(a / b)
        if a:
            joined.add(b / a)
        if any(can_make([*rest, value], target) for value in joined):
            return True
    return False


def test_the_table_agrees_with_brute_force_on_every_hand() -> None:
    table = solution_table()
    assert list(table) == ALL_HANDS
    for hand, formula in table.items():
        assert (formula is not None) == can_make([Fraction(n) for n in hand], 24), hand


@pytest.mark.parametrize("target", [-24, -7, 0, 1, 10, 24, 36, 13**4])
def test_every_formula_uses_its_hand_and_makes_its_target(target: int) -> None:
    for hand, formula in solution_table(target).items():
        if formula is not None:
            read = parse(formula)
            assert tuple(sorted(read.numbers)) == hand
            assert read.value == target


def test_1362_hands_are_solvable_and_566_of_them_within_ten() -> None:
    solvable = [hand for hand, formula in solution_table().items() if formula is not None]
    assert len(solvable) == 1362
    assert sum(max(hand) <= 10 for hand in solvable) == 566


@settings(max_examples=150, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 13), min_size=1, max_size=4),
    target=st.integers(-30, 40),
)
def test_any_hand_and_target_agree_with_brute_force(numbers: list[int], target: int) -> None:
    formula = solve(numbers, target)
    assert (formula is not None) == can_make([Fraction(n) for n in numbers], target)
    if formula is not None:
        read = parse(formula)
        assert sorted(read.numbers) == sorted(numbers)
        assert read.value == target


def test_five_and_six_numbers_are_solved_too() -> None:
    for numbers in ([1, 1, 1, 1, 5], [3, 3, 7, 7, 2], [1, 2, 3, 4, 5, 6]):
        formula = solve(numbers)
        assert (formula is not None) == can_make([Fraction(n) for n in numbers], 24)
        assert formula is None or parse(formula).value == 24


@pytest.mark.parametrize(
    ("numbers", "formula"),
    [
        ([8, 3, 8, 3], "8 / ( 3 - 8 / 3 )"),
        ([1, 5, 5, 5], "5 * ( 5 - 1 / 5 )"),
        ([6, 6, 6, 6], "6 + 6 + 6 + 6"),
        ([1, 1, 1, 1], None),
        ([24], "24"),
        ([23], None),
    ],
)
def test_known_hands(numbers: list[int], formula: str | None) -> None:
    assert solve(numbers) == formula


def test_a_zero_is_no_quotient_of_a_nonzero_target() -> None:
    # x / y = 24 with x = 1 - 1 would ask for y = 0
    assert solve([1, 1, 7]) is None
    assert solve([0, 0, 24]) is not None
    assert solve([0, 5], 0) is not None


@settings(max_examples=50, deadline=None)
@given(hand=st.sampled_from(ALL_HANDS), seed=st.integers(0, 99))
def test_the_formula_does_not_depend_on_the_order(hand: tuple[int, ...], seed: int) -> None:
    dealt = list(hand)
    random.Random(seed).shuffle(dealt)
    assert solve(dealt) == solve(hand)


def test_no_bracket_pair_can_be_dropped() -> None:
    for formula in solution_table().values():
        tokens = formula.split() if formula else []
        for opened in [i for i, token in enumerate(tokens) if token == "("]:
            depth, closed = 0, opened
            for closed in range(opened, len(tokens)):
                depth += {"(": 1, ")": -1}.get(tokens[closed], 0)
                if depth == 0:
                    break
            bare = [token for i, token in enumerate(tokens) if i not in (opened, closed)]
            assert parse(" ".join(bare)).value != 24, formula


def test_half_of_the_formulas_need_no_bracket() -> None:
    formulas = [formula for formula in solution_table().values() if formula]
    pairs = [formula.count("(") for formula in formulas]
    assert [pairs.count(n) for n in range(3)] == [709, 612, 41]
    assert all(re.fullmatch(r"\S+( \S+)*", formula) for formula in formulas)


@pytest.mark.parametrize("numbers", [[], [3, -1, 2, 2]])
def test_hands_that_are_none_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="expected at least one, none negative"):
        solve(numbers)
