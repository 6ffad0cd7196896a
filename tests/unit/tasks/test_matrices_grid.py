# SPDX-License-Identifier: MIT
"""Matrices as text, what counts as the same matrix, and folds of classes."""

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.chance import chance_level, clue_level
from derotate.tasks.matrices.grid import (
    Matrix,
    canonical,
    class_name,
    largest,
    presentations,
    read_matrix,
    shuffled,
    spell,
    transposed,
)
from derotate.tasks.matrices.problem import MatrixProblem, assign_folds


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    row = st.tuples(*[st.integers(-5, 5)] * columns)
    return tuple(draw(row) for _ in range(rows))


def members(matrix: Matrix) -> set[Matrix]:
    """Every permutation of rows and columns of a matrix and of its transpose, one by one."""
    found = set()
    for way in (matrix, tuple(zip(*matrix, strict=True))):
        for rows in permutations(way):
            for columns in permutations(range(len(way[0]))):
                found.add(tuple(tuple(row[column] for column in columns) for row in rows))
    return found


@settings(max_examples=50, deadline=None)
@given(matrices())
def test_a_matrix_survives_its_text(matrix: Matrix) -> None:
    assert read_matrix(spell(matrix)) == matrix
    problem = MatrixProblem("a", "id", "test", matrix)
    assert MatrixProblem.from_row(problem.to_row()) == problem


@settings(max_examples=50, deadline=None)
@given(matrices())
def test_a_class_is_what_permuting_and_transposing_gives(matrix: Matrix) -> None:
    class_of_matrix = members(matrix)
    assert canonical(matrix) in class_of_matrix
    assert {canonical(member) for member in class_of_matrix} == {canonical(matrix)}
    assert len({class_name(member) for member in class_of_matrix}) == 1


@settings(max_examples=50, deadline=None)
@given(matrices(), matrices())
def test_other_classes_have_other_names(a: Matrix, b: Matrix) -> None:
    assert (class_name(a) == class_name(b)) == (b in members(a))


def test_a_change_of_sign_is_another_class() -> None:
    assert class_name(((1, 2), (3, 4))) != class_name(((-1, 2), (-3, 4)))


@settings(max_examples=50, deadline=None)
@given(matrices(), st.integers(0, 99))
def test_a_presentation_is_a_member_of_the_same_shape(matrix: Matrix, seed: int) -> None:
    shown = shuffled(matrix, random.Random(seed))
    assert shown in members(matrix)
    assert (len(shown), len(shown[0])) == (len(matrix), len(matrix[0]))


def test_presentations_differ_and_then_repeat() -> None:
    matrix = ((1, 2), (3, 4))
    shown = presentations(matrix, 10, random.Random(0), lambda member: True)
    assert set(shown[:8]) == members(matrix)
    assert shown[8:] == shown[:2]
    few = presentations(matrix, 3, random.Random(0), lambda member: True)
    assert few == shown[:3]


def test_only_accepted_presentations_are_shown_and_home_if_none_is_found() -> None:
    matrix = ((1, 2), (3, 4))
    first = presentations(matrix, 8, random.Random(0), lambda member: member[0][0] == 1)
    assert set(first) == {matrix, transposed(matrix)}
    assert presentations(matrix, 2, random.Random(0), lambda member: False) == [matrix, matrix]


def test_largest_goes_by_size() -> None:
    assert largest(((1, -5), (4, 0))) == 5


@pytest.mark.parametrize("text", ["", "1 2 / 3", "1 x / 3 4", "1.5", "1 2 /", "/"])
def test_what_is_no_matrix_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="expected whole numbers in rows of one length") as caught:
        read_matrix(text)
    assert "\n" not in str(caught.value)


def test_a_problem_without_a_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="expected rows of one length"):
        MatrixProblem("a", "id", "test", ((1, 2), (3,)))


def test_folds_have_exact_shares_whatever_the_order() -> None:
    names = [str(number) for number in range(1000)]
    folds = assign_folds(names, {"train": 60, "rl": 25, "selection": 5, "test": 10})
    sizes = {fold: list(folds.values()).count(fold) for fold in folds.values()}
    assert sizes == {"train": 600, "rl": 250, "selection": 50, "test": 100}
    assert assign_folds(reversed(names), {"train": 60, "rl": 25, "selection": 5, "test": 10}) == (
        folds
    )


def test_chance_of_a_list_worked_out_by_hand() -> None:
    chance = chance_level([0, 0, 1, 2])
    assert (chance.answer, chance.constant, chance.n) == (0, 0.5, 4)
    assert chance.marginal == (4 + 1 + 1) / 16
    assert chance_level([2, 1]).answer == 1
    assert clue_level([0, 0, 1, 2], ["a", "a", "a", "b"]) == 3 / 4
    with pytest.raises(ValueError, match="no answers"):
        chance_level([])
