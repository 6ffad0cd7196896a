# SPDX-License-Identifier: MIT
"""4x5 and 5x4 matrices: ranks alike in every fold, what must never leak, what makes OOD another."""

from collections import Counter
from functools import cache
from itertools import combinations_with_replacement, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.matrices.grid import Matrix, class_name, read_matrix, transposed
from derotate.tasks.rank.answers import grade
from derotate.tasks.rank.chance import chance, shortcuts
from derotate.tasks.rank.defaults import DEFAULTS
from derotate.tasks.rank.pretraining import WORDS, samples
from derotate.tasks.rank.problems import RANKS, SPLITS, Problem, classes, fold_of, generate, in_fold
from derotate.tasks.rank.prompts import compact_prompt, compact_response, response
from derotate.tasks.rank.solver import judgements, rank
from derotate.tasks.rank.streams import id_stream, ood_stream, oracle_stream

PRIME = 10_007
"""Above every minor of the problems: Hadamard's bound is 6^4 = 1,296 for four columns of four
entries up to 3. So no minor vanishes by the modulus, and the rank modulo PRIME is the rank. It also
holds for the random matrices below: four rows of at most five entries up to 4 give 8.95^4 < 6,500.
"""

ORDERS = {"id": 9, "ood": 5}


def rank_modulo(matrix: Matrix) -> int:
    """The rank by Gauss-Jordan elimination over the field of PRIME elements, column by column."""
    rows = [[entry % PRIME for entry in row] for row in matrix]
    found = 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, PRIME)
        for i in range(len(rows)):
            if i != found:
                factor = rows[i][column] * inverse
                rows[i] = [
                    (x - factor * y) % PRIME for x, y in zip(rows[i], rows[found], strict=True)
                ]
        found += 1
    return found


@cache
def many(split: str) -> tuple[Problem, ...]:
    return tuple(generate(split, ORDERS[split], seed=7))


@pytest.mark.parametrize(
    ("split", "shape", "bound", "count"), [("id", (4, 5), 2, 10_800), ("ood", (5, 4), 3, 10_000)]
)
def test_problems_are_valid_unique_and_solved_by_the_reference(
    split: str, shape: tuple[int, int], bound: int, count: int
) -> None:
    problems = many(split)
    assert len(problems) == len({problem.name for problem in problems}) == count
    clusters = Counter(problem.cluster for problem in problems)
    assert set(clusters) == set(classes(split))
    assert set(clusters.values()) == {ORDERS[split]}
    for problem in problems:
        assert (len(problem.matrix), len(problem.matrix[0])) == shape
        assert max(abs(entry) for row in problem.matrix for entry in row) <= bound
        assert problem.answer == rank_modulo(problem.matrix)
        for style in ("compact", "natural"):
            assert grade(problem, response(problem, style), style).correct


def test_ranks_are_alike_in_every_fold() -> None:
    for split in SPLITS:
        counts = Counter((problem.fold, problem.answer) for problem in many(split))
        for fold in {fold for fold, _ in counts}:
            assert len({counts[fold, wanted] for wanted in RANKS}) == 1


def test_fold_sizes_are_the_exact_shares() -> None:
    assert Counter(map(fold_of, classes("id"))) == {
        "train": 720, "rl": 300, "selection": 60, "test": 120,
    }  # fmt: skip
    assert Counter(map(fold_of, classes("ood"))) == {"trace": 400, "selection": 400, "test": 1200}


def test_folds_are_pinned() -> None:
    # A change here moves problems between training and test: results are no longer comparable.
    first = {split: list(classes(split))[:4] for split in SPLITS}
    assert [fold_of(name) for name in first["id"]] == ["test", "rl", "train", "train"]
    assert [fold_of(name) for name in first["ood"]] == ["selection", "test", "trace", "trace"]


def test_no_class_is_in_two_folds_and_a_transpose_is_in_the_fold_of_its_matrix() -> None:
    folds: dict[str, set[str]] = {}
    for split in SPLITS:
        for problem in many(split):
            folds.setdefault(problem.cluster, set()).add(problem.fold)
            if problem.name.endswith("-0"):
                assert fold_of(class_name(transposed(problem.matrix))) == problem.fold
    assert len(folds) == 1200 + 2000
    assert all(len(found) == 1 for found in folds.values())


def test_no_ood_problem_is_the_transpose_of_an_id_one() -> None:
    assert set(classes("id")).isdisjoint(classes("ood"))
    for problem in many("ood"):
        assert 3 in (abs(entry) for row in problem.matrix for entry in row)


def test_rank_one_in_distribution_has_880_classes() -> None:
    found = set()
    for row in combinations_with_replacement(range(-2, 3), 5):
        negative = tuple(-entry for entry in row)
        for plus in range(5):
            for minus in range(5 - plus):
                if any(row) and plus + minus:
                    zeros = [(0,) * 5] * (4 - plus - minus)
                    found.add(class_name((*[row] * plus, *[negative] * minus, *zeros)))
    assert len(found) == 880
    assert {name for name in classes("id") if rank(classes("id")[name]) == 1} <= found


def test_ood_is_another_task() -> None:
    in_distribution, out = shortcuts(many("id")), shortcuts(many("ood"))
    # Four rows of five are the whole matrix in distribution. Out of it, numbers read on in rows of
    # five give the rank as often as guessing; only who stops after four rows is mostly lucky,
    # since a fifth row is seldom the one that matters.
    assert in_distribution["rows_of_five"] == in_distribution["first_four_rows"] == 1
    assert out["rows_of_five"] < 0.27
    assert out["first_four_rows"] < 0.9


def test_copies_and_zeros_do_not_give_the_rank_away() -> None:
    for split in SPLITS:
        found = shortcuts(many(split))
        assert found["differing_rows"] < 0.6
        assert found["zeros"] < 0.5


def test_chance_is_one_in_four() -> None:
    for split in SPLITS:
        level = chance([problem for problem in many(split) if problem.fold == "test"])
        assert (level.constant, level.marginal) == (0.25, 0.25)


def test_a_split_is_a_function_of_its_seed() -> None:
    assert generate("id", 1, 4) == generate("id", 1, 4)
    assert generate("id", 1, 4) != generate("id", 1, 5)
    few = {problem.name: problem for problem in generate("id", 1, 4)}
    more = {problem.name: problem for problem in generate("id", 2, 4)}
    assert all(more[name] == problem for name, problem in few.items())


def test_presentations_differ_while_there_are_others() -> None:
    shown: dict[str, set[Matrix]] = {}
    for problem in many("ood"):
        shown.setdefault(problem.cluster, set()).add(problem.matrix)
    assert sum(map(len, shown.values())) > 9_950


# --- the walk


def rows_up_to(rows: int, columns: int, bound: int) -> st.SearchStrategy[Matrix]:
    row = st.tuples(*[st.integers(-bound, bound)] * columns)
    return st.lists(row, min_size=rows, max_size=rows).map(tuple)


shapes = st.sampled_from([(4, 5, 4), (5, 4, 3), (3, 3, 4), (4, 4, 1), (2, 5, 4)])


@settings(max_examples=300, deadline=None)
@given(shapes.flatmap(lambda shape: rows_up_to(*shape)))
def test_the_rank_agrees_with_elimination_in_a_finite_field(matrix: Matrix) -> None:
    assert rank(matrix) == rank(transposed(matrix)) == rank_modulo(matrix)
    found = judgements(matrix)
    if found is not None:
        assert found.count(None) == rank_modulo(matrix)


def test_a_judgement_adds_up_to_its_row_and_names_new_rows_only() -> None:
    for problem in many("ood")[::10]:
        found = judgements(problem.matrix)
        assert found is not None
        for row, terms in zip(problem.matrix, found, strict=True):
            if terms is None:
                continue
            assert all(found[abs(term) - 1] is None for term in terms)
            total = [0, 0, 0, 0]
            for term in terms:
                sign = 1 if term > 0 else -1
                total = [
                    x + sign * y for x, y in zip(total, problem.matrix[abs(term) - 1], strict=True)
                ]
            assert tuple(total) == row


def test_walks_worked_out_by_hand() -> None:
    a, b = (1, 0, 2), (0, 1, 1)
    assert judgements((a, b, (1, 1, 3))) == (None, None, (1, 2))
    assert judgements((a, (-1, 0, -2), b, (-1, 1, -1))) == (None, (-1,), None, (-1, 3))
    assert judgements(((0, 0, 0), a, a)) == ((), None, (2,))
    # twice a row is dependent, and no sum of rows
    assert judgements((a, (2, 0, 4))) is None
    assert rank((a, (2, 0, 4))) == 1


# --- rows, streams, pretraining


def test_a_problem_survives_csv() -> None:
    for problem in many("id")[::500]:
        row = {key: str(value) for key, value in problem.to_row().items()}
        assert Problem.from_row(row) == problem


def test_bad_arguments_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="split 'odd': expected one of id, ood"):
        generate("odd", 1, 0)
    with pytest.raises(ValueError, match="orders 0: expected at least 1"):
        generate("id", 0, 0)
    with pytest.raises(ValueError, match="expected a class of the ID or OOD sample"):
        fold_of("0_0:0_0")
    with pytest.raises(ValueError, match="expected whole numbers in rows of one length"):
        Problem.from_row({"name": "a", "split": "id", "fold": "test", "matrix": "1 2 / 3"})


def test_an_epoch_is_every_class_of_the_fold_once() -> None:
    names = in_fold("id", "rl")
    problems = list(islice(id_stream("rl", 3), 2 * len(names)))
    for epoch in (problems[: len(names)], problems[len(names) :]):
        assert sorted(problem.cluster for problem in epoch) == sorted(names)
    assert len({problem.name for problem in problems}) == len(problems)
    assert list(islice(id_stream("rl", 3), 50)) == problems[:50]
    assert list(islice(id_stream("rl", 4), 50)) != problems[:50]


def test_the_oracle_learns_on_train_and_trace_alone() -> None:
    problems = list(islice(oracle_stream(0), 40))
    assert {(p.split, p.fold) for p in problems[::2]} == {("id", "train")}
    assert {(p.split, p.fold) for p in problems[1::2]} == {("ood", "trace")}
    assert next(ood_stream("trace", 0)) == problems[1]


def matrix_of_sample(text: str) -> Matrix:
    return read_matrix(text.partition(" ; ")[0].partition(" ")[2])


def test_the_base_never_sees_a_held_out_matrix() -> None:
    held_out = {
        name for split in SPLITS for fold in ("selection", "test") for name in in_fold(split, fold)
    }
    shown = [
        matrix_of_sample(sample.completion)
        for sample in samples((("plain", 0.6), ("last", 0.4)), seed=1, count=1000)
    ]
    assert {(4, 5), (5, 4)} < {(len(matrix), len(matrix[0])) for matrix in shown}
    assert held_out.isdisjoint(map(class_name, shown))


def test_whole_problems_of_the_base_are_those_of_train_and_trace() -> None:
    for kind, split, fold in (("whole_id", "id", "train"), ("whole_ood", "ood", "trace")):
        for sample in samples(((kind, 1.0),), seed=2, count=20):
            problem = Problem("", split, fold, matrix_of_sample(sample.completion))
            assert fold_of(problem.cluster) == fold
            assert sample.completion == f"{compact_prompt(problem)} {compact_response(problem)}"


def test_texts_of_the_base_are_right_short_and_of_known_words() -> None:
    for sample in samples(tuple((kind, 1.0) for kind in DEFAULTS.mixture), seed=4, count=600):
        words = sample.completion.split()
        assert set(words) <= set(WORDS)
        assert len(words) <= 58
        if words[0] != "rank":
            assert not {"rank", "answer"} & set(words)
        matrix = matrix_of_sample(sample.completion)
        if words[0] == "lines":
            assert words[-1] == str(rank_modulo(matrix))
        if words[0] == "last":
            without = rank_modulo(matrix[:-1]) if len(matrix) > 1 else 0
            assert (words[-1] == "new") == (rank_modulo(matrix) > without)
        if words[0] == "combine":
            total = read_matrix(sample.completion.partition(" = ")[2])
            assert rank_modulo((*matrix, *total)) == rank_modulo(matrix)


def test_samples_are_a_function_of_shares_and_seed() -> None:
    shares = tuple((kind, share) for kind, (share, _) in DEFAULTS.mixture.items())
    assert list(samples(shares, 5, 30)) == list(samples(shares, 5, 30))
    assert list(samples(shares, 5, 30)) != list(samples(shares, 6, 30))
    with pytest.raises(ValueError, match="pretraining sample 'mapping': expected one of plain"):
        list(samples((("mapping", 1.0),), 5, 1))


def test_the_vocabulary_is_small_and_covers_every_problem() -> None:
    assert len(set(WORDS)) == len(WORDS) <= 130
    for split in SPLITS:
        for problem in many(split)[::20]:
            text = f"{compact_prompt(problem)} {compact_response(problem)}"
            assert text == " ".join(text.split())
            assert set(text.split()) <= set(WORDS)
            assert len(text.split()) <= 58
