# SPDX-License-Identifier: MIT
"""2x2 and 3x3 matrices: all of the former, what must never leak, what makes OOD another task."""

import random
from collections import Counter
from functools import cache
from itertools import islice, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.determinant.answers import grade
from derotate.tasks.determinant.chance import chance, shortcuts
from derotate.tasks.determinant.defaults import DEFAULTS
from derotate.tasks.determinant.pretraining import WORDS, samples
from derotate.tasks.determinant.problems import SPLITS, Problem, classes, fold_of, generate, in_fold
from derotate.tasks.determinant.prompts import compact_prompt, compact_response, response
from derotate.tasks.determinant.solver import determinant, lines
from derotate.tasks.determinant.streams import id_stream, ood_stream, oracle_stream
from derotate.tasks.matrices.grid import Matrix, class_name, read_matrix

ALL_2X2 = [((a, b), (c, d)) for a, b, c, d in product(range(-4, 5), repeat=4)]


def leibniz(matrix: Matrix) -> int:
    """The determinant as a sum over permutations, which knows nothing of expansions."""
    total = 0
    for order in permutations(range(len(matrix))):
        inversions = sum(order[i] > order[j] for j in range(len(order)) for i in range(j))
        term = (-1) ** inversions
        for row, column in zip(matrix, order, strict=True):
            term *= row[column]
        total += term
    return total


@cache
def many(split: str, orders: int) -> tuple[Problem, ...]:
    return tuple(generate(split, orders, seed=7))


def test_the_problems_in_distribution_are_all_6561_matrices() -> None:
    found = {class_name(matrix) for matrix in ALL_2X2}
    assert len(ALL_2X2) == 6561
    assert found == set(classes("id"))
    assert len(found) == 1035


def test_wider_2x2_matrices_are_all_8080_with_a_five() -> None:
    wide = {
        class_name(((a, b), (c, d)))
        for a, b, c, d in product(range(-5, 6), repeat=4)
        if 5 in map(abs, (a, b, c, d))
    }
    assert wide == set(classes("id_wide"))
    assert len(wide) == 1176


def test_the_size_of_a_determinant_is_that_of_its_class() -> None:
    sizes: dict[str, set[int]] = {}
    for matrix in ALL_2X2:
        sizes.setdefault(class_name(matrix), set()).add(abs(leibniz(matrix)))
    assert all(len(found) == 1 for found in sizes.values())


@pytest.mark.parametrize(
    ("split", "orders", "count"),
    [("id", 8, 8280), ("ood", 5, 10_000), ("id_wide", 1, 1176), ("ood_narrow", 1, 567)],
)
def test_problems_are_valid_unique_and_solved_by_the_reference(
    split: str, orders: int, count: int
) -> None:
    problems = many(split, orders)
    size, bound = (2, 3)[split.startswith("ood")], (4, 5)[split in ("ood", "id_wide")]
    assert len(problems) == count
    assert len({problem.name for problem in problems}) == count
    clusters = Counter(problem.cluster for problem in problems)
    assert set(clusters.values()) == {orders}
    assert set(clusters) == set(classes(split))
    for problem in problems:
        entries = [entry for row in problem.matrix for entry in row]
        assert (len(problem.matrix), len(entries)) == (size, size**2)
        assert max(map(abs, entries)) <= bound
        assert problem.answer == leibniz(problem.matrix)
        for style in ("compact", "natural"):
            assert grade(problem, response(problem, style), style).correct


def test_presentations_differ_while_there_are_others() -> None:
    shown: dict[str, list[Matrix]] = {}
    for problem in many("id", 8):
        shown.setdefault(problem.cluster, []).append(problem.matrix)
    assert sum(len(set(found)) for found in shown.values()) == 6561


def test_no_class_is_in_two_folds_whatever_the_split() -> None:
    folds: dict[str, set[str]] = {}
    for split, orders in (("id", 8), ("ood", 5), ("id_wide", 1), ("ood_narrow", 1)):
        for problem in many(split, orders):
            folds.setdefault(problem.cluster, set()).add(problem.fold)
    assert all(len(found) == 1 for found in folds.values())
    assert len(folds) == 1035 + 1176 + 2000


def test_fold_sizes_are_the_exact_shares() -> None:
    def sizes(split: str) -> Counter[str]:
        return Counter(map(fold_of, classes(split)))

    assert sizes("id") == {"train": 621, "rl": 259, "selection": 52, "test": 103}
    assert sizes("id_wide") == {"trace": 235, "selection": 235, "test": 706}
    assert sizes("ood") == {"trace": 400, "selection": 400, "test": 1200}
    # a part of ood, so its shares are what the hashes give
    assert sizes("ood_narrow") == {"trace": 117, "selection": 121, "test": 329}


def test_folds_are_pinned() -> None:
    # A change here moves problems between training and test: results are no longer comparable.
    assert fold_of(class_name(((1, 2), (3, 4)))) == "train"
    assert fold_of(class_name(((1, 0), (0, 1)))) == "test"
    assert fold_of(class_name(((5, 0), (0, 5)))) == "test"
    assert fold_of(class_name(((-1, -3, 1), (5, -1, -2), (4, 2, -2)))) == "test"


def test_transposes_and_swaps_share_a_fold() -> None:
    same = [((1, 2), (3, 4)), ((1, 3), (2, 4)), ((3, 4), (1, 2)), ((2, 1), (4, 3))]
    assert len({fold_of(class_name(matrix)) for matrix in same}) == 1


def test_most_3x3_matrices_are_in_no_fold() -> None:
    with pytest.raises(ValueError, match="expected a class of 2x2 matrices in"):
        fold_of(class_name(((5, 5, 5), (5, 5, 5), (5, 5, 5))))


def test_ood_is_another_task() -> None:
    problems = many("ood", 5)
    # what is right in distribution, the determinant of the first two rows and columns, is not here
    assert shortcuts(many("id", 8))["leading_block"] == 1
    assert shortcuts(problems)["leading_block"] < 0.06
    # five lines instead of one, over entries that never occurred
    assert {len(lines(problem.matrix)) for problem in problems} == {5}
    assert {len(lines(problem.matrix)) for problem in many("id", 8)} == {1}
    with_five = sum(5 in (abs(e) for row in p.matrix for e in row) for p in problems)
    assert with_five / len(problems) > 0.6
    assert {class_name(p.matrix) for p in problems}.isdisjoint(classes("id"))


def test_chance_is_what_the_most_frequent_determinant_gives() -> None:
    level = chance([Problem("", "id", "", matrix) for matrix in ALL_2X2])
    assert level.answer == 0
    assert level.constant == sum(leibniz(matrix) == 0 for matrix in ALL_2X2) / 6561
    held_out = [problem for problem in many("ood", 5) if problem.fold == "test"]
    assert chance(held_out).answer == 0
    assert 0.03 < chance(held_out).constant < 0.06
    assert 0.01 < chance(held_out).marginal < 0.02


def test_a_split_is_a_function_of_its_seed() -> None:
    assert generate("id", 2, 4) == generate("id", 2, 4)
    assert generate("id", 2, 4) != generate("id", 2, 5)
    few = {problem.name: problem for problem in generate("ood_narrow", 2, 4)}
    many = {problem.name: problem for problem in generate("ood_narrow", 3, 4)}
    assert all(many[name] == problem for name, problem in few.items())


square = st.integers(2, 3).flatmap(lambda n: st.tuples(*[st.tuples(*[st.integers(-9, 9)] * n)] * n))


@settings(deadline=None)
@given(square)
def test_the_expansion_agrees_with_the_sum_over_permutations(matrix: Matrix) -> None:
    assert determinant(matrix) == leibniz(matrix)
    for line in lines(matrix):
        signed = line.right if line.sign == "+" else -line.right
        assert line.left + signed == line.result


@settings(deadline=None)
@given(square)
def test_a_problem_survives_csv(matrix: Matrix) -> None:
    problem = Problem("a", "ood", "test", matrix)
    assert Problem.from_row({key: str(value) for key, value in problem.to_row().items()}) == problem


@pytest.mark.parametrize("text", ["1", "1 2", "1 2 3 / 4 5 6", "1 2 / 3 4 / 5 6", "1 2 / 3"])
def test_what_has_no_determinant_here_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Problem.from_row({"name": "a", "split": "id", "fold": "test", "matrix": text})


def test_bad_arguments_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="split 'odd': expected one of id, ood, id_wide, ood_narr"):
        generate("odd", 1, 0)
    with pytest.raises(ValueError, match="orders 0: expected at least 1"):
        generate("id", 0, 0)


# --- streams


def test_an_epoch_is_every_class_of_the_fold_once() -> None:
    names = in_fold("id", "train")
    problems = list(islice(id_stream("train", 3), 2 * len(names)))
    for epoch in (problems[: len(names)], problems[len(names) :]):
        assert sorted(problem.cluster for problem in epoch) == sorted(names)
    assert len({problem.name for problem in problems}) == len(problems)
    assert {(problem.split, problem.fold) for problem in problems} == {("id", "train")}


def test_streams_are_functions_of_their_seed() -> None:
    assert list(islice(id_stream("rl", 1), 50)) == list(islice(id_stream("rl", 1), 50))
    assert list(islice(id_stream("rl", 1), 50)) != list(islice(id_stream("rl", 2), 50))


def test_the_oracle_learns_on_train_and_trace_alone() -> None:
    problems = list(islice(oracle_stream(0), 40))
    assert {(p.split, p.fold) for p in problems[::2]} == {("id", "train")}
    assert {(p.split, p.fold) for p in problems[1::2]} == {("ood", "trace")}
    assert next(ood_stream("trace", 0)) == problems[1]


# --- pretraining


def test_the_base_never_sees_a_held_out_matrix() -> None:
    mixture = tuple((kind, 1.0) for kind in DEFAULTS.mixture)
    shown = [
        read_matrix(sample.completion.partition(" ; steps")[0].partition(" ")[2])
        for sample in samples(mixture, seed=1, count=1500)
        if sample.completion.split()[0] in ("expand", "minors", "det")
    ]
    held_out = {
        name for split in SPLITS for fold in ("selection", "test") for name in in_fold(split, fold)
    }
    assert len(shown) > 900
    assert held_out.isdisjoint(map(class_name, shown))


def test_whole_problems_of_the_base_are_those_of_train_and_trace() -> None:
    for kind, split, fold in (("whole_id", "id", "train"), ("whole_ood", "ood", "trace")):
        for sample in samples(((kind, 1.0),), seed=2, count=20):
            matrix = read_matrix(sample.completion.partition(" ; ")[0].removeprefix("det "))
            problem = Problem("", split, fold, matrix)
            assert fold_of(problem.cluster) == fold
            assert sample.completion == f"{compact_prompt(problem)} {compact_response(problem)}"


def test_only_whole_problems_have_an_answer_field() -> None:
    mixture = tuple((kind, 1.0) for kind in DEFAULTS.mixture if not kind.startswith("whole"))
    for sample in samples(mixture, seed=3, count=300):
        assert not {"det", "answer"} & set(sample.completion.split())


def test_every_calculation_of_the_base_is_right_and_of_known_words() -> None:
    for sample in samples(tuple((kind, 1.0) for kind in DEFAULTS.mixture), seed=4, count=600):
        words = sample.completion.split()
        assert set(words) <= set(WORDS)
        assert len(words) <= 58
        for place, word in enumerate(words):
            if word == "=":
                left, sign, right = int(words[place - 3]), words[place - 2], int(words[place - 1])
                values = {"+": left + right, "-": left - right, "*": left * right}
                assert values[sign] == int(words[place + 1])


def test_samples_are_a_function_of_shares_and_seed() -> None:
    shares = tuple((kind, share) for kind, (share, _) in DEFAULTS.mixture.items())
    assert list(samples(shares, 5, 30)) == list(samples(shares, 5, 30))
    assert list(samples(shares, 5, 30)) != list(samples(shares, 6, 30))
    with pytest.raises(ValueError, match="pretraining sample 'mapping': expected one of plain"):
        list(samples((("mapping", 1.0),), 5, 1))


def test_the_vocabulary_is_small_and_covers_every_problem() -> None:
    assert len(set(WORDS)) == len(WORDS) <= 130
    draw = random.Random(0)
    for split, orders in (("id", 8), ("ood", 5), ("id_wide", 1), ("ood_narrow", 1)):
        for problem in draw.sample(many(split, orders), 300):
            text = f"{compact_prompt(problem)} {compact_response(problem)}"
            assert text == " ".join(text.split())
            assert set(text.split()) <= set(WORDS)
