# SPDX-License-Identifier: MIT
"""The grader against an oracle of its own; prompts byte by byte; rewards and feedback."""

import json
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.matrices.grid import read_matrix
from derotate.tasks.options import STYLES
from derotate.tasks.rank.answers import grade, read_in_id_shape
from derotate.tasks.rank.feedback import feedback
from derotate.tasks.rank.pretraining import WORDS
from derotate.tasks.rank.problems import Problem
from derotate.tasks.rank.prompts import (
    compact_prompt,
    compact_response,
    natural_messages,
    natural_response,
    prompt,
    response,
)
from derotate.tasks.rank.rewards import REWARDS, reward

ID = Problem("a", "id", "train", read_matrix("1 0 -2 1 2 / 0 1 1 -1 0 / 1 -1 -3 2 2 / 0 0 0 0 0"))
OOD = Problem(
    "b", "ood", "test", read_matrix("1 0 -3 1 / 1 0 -3 1 / 0 1 1 -1 / -1 0 3 -1 / 1 1 -2 0")
)

NATURAL_ID = """\
[Task]
Work out the rank of this matrix of whole numbers. It is given row by row.

[Input]
Matrix:
[[1, 0, -2, 1, 2],
 [0, 1, 1, -1, 0],
 [1, -1, -3, 2, 2],
 [0, 0, 0, 0, 0]]

[Output]
Answer with one JSON object and nothing else:
{
  "answer": the rank, a whole number
}"""


def test_golden_prompts() -> None:
    assert compact_prompt(ID) == ("rank 1 0 -2 1 2 / 0 1 1 -1 0 / 1 -1 -3 2 2 / 0 0 0 0 0 ; steps")
    assert compact_prompt(OOD) == (
        "rank 1 0 -3 1 / 1 0 -3 1 / 0 1 1 -1 / -1 0 3 -1 / 1 1 -2 0 ; steps"
    )
    assert natural_messages(ID) == [{"role": "user", "content": NATURAL_ID}]
    (message,) = natural_messages(OOD)
    rows = [[1, 0, -3, 1], [1, 0, -3, 1], [0, 1, 1, -1], [-1, 0, 3, -1], [1, 1, -2, 0]]
    before, _, after = NATURAL_ID.partition("[[1, 0, -2, 1, 2]")
    matrix = ",\n ".join(map(str, rows))
    assert message["content"] == f"{before}[{matrix}]{after.partition(']]')[2]}"


def test_golden_responses() -> None:
    assert compact_response(ID) == "r1 new 1 r2 new 2 r3 +r1 -r2 2 r4 zero 2 ; answer 2"
    assert compact_response(OOD) == ("r1 new 1 r2 +r1 1 r3 new 2 r4 -r1 2 r5 +r1 +r3 2 ; answer 2")
    assert natural_response(OOD) == '{"answer": 2}'


def test_a_matrix_without_a_walk_has_no_compact_answer() -> None:
    doubled = Problem("c", "id", "", read_matrix("1 0 / 2 0"))
    with pytest.raises(ValueError, match="problem c: a row of 1 0 / 2 0 is neither new nor"):
        compact_response(doubled)
    assert natural_response(doubled) == '{"answer": 1}'
    assert grade(doubled, "answer 1").correct


def test_styles() -> None:
    assert set(STYLES) == {"compact", "natural"}
    assert prompt(OOD, "compact") == compact_prompt(OOD)
    assert prompt(OOD, "natural") == natural_messages(OOD)
    for refuse in (prompt, response):
        with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
            refuse(OOD, "prose")


FOUR_ROWS = "r1 new 1 r2 new 2 r3 new 3 r4 -r1 3"


@pytest.mark.parametrize(
    ("problem", "text", "kind"),
    [
        (ID, "answer 2", "correct"),
        # the steps are not graded
        (ID, "r1 new 1 r2 new 2 r3 new 3 r4 new 4 ; answer 2 <eos>", "correct"),
        (ID, "answer 1", "too_low"),
        (ID, "answer 0", "too_low"),
        (ID, "answer 3", "too_high"),
        (ID, f"{FOUR_ROWS} ; answer 3", "too_high"),
        (ID, "answer 5", "impossible"),
        (ID, "answer -2", "impossible"),
        # 1002 is 2 by remainders of 1000, as the released code compares
        (ID, "answer 1002", "impossible"),
        # right in the wrong field, an echo of the prompt, another language, nothing
        (ID, "r1 new 1 r2 new 2 r3 +r1 -r2 2 r4 zero 2", "unparsable"),
        (ID, compact_prompt(ID), "unparsable"),
        (ID, "der Rang ist 2", "unparsable"),
        (ID, "", "unparsable"),
        # four rows where the matrix has five
        (OOD, f"{FOUR_ROWS} ; answer 3", "id_rule_applied"),
        (OOD, f"{FOUR_ROWS} r5 new 4 ; answer 4", "too_high"),
        (OOD, f"{FOUR_ROWS} ; answer 2", "correct"),
        (OOD, "r1 new 1 ; answer 1", "too_low"),
    ],
)
def test_compact_responses(problem: Problem, text: str, kind: str) -> None:
    assert grade(problem, text).kind == kind


@pytest.mark.parametrize(
    ("problem", "text", "kind"),
    [
        (OOD, '{"answer": 2}', "correct"),
        (OOD, 'It is\n{"answer": "2"}', "correct"),
        (OOD, '{"answer": 4}', "id_rule_applied"),
        (OOD, '{"answer": 3}', "too_high"),
        (OOD, '{"answer": 1}', "too_low"),
        (OOD, '{"answer": 5}', "impossible"),
        (ID, '{"answer": 4}', "too_high"),
        (OOD, '{"rank": 2}', "unparsable"),
        (OOD, "The rank is 2.", "unparsable"),
        (ID, NATURAL_ID, "unparsable"),
        (OOD, "", "unparsable"),
    ],
)
def test_natural_responses(problem: Problem, text: str, kind: str) -> None:
    assert grade(problem, text, "natural").kind == kind


def test_the_numbers_read_in_rows_of_five() -> None:
    # 1 0 -3 1 1 / 0 -3 1 0 1 / 1 -1 -1 0 3 / -1 1 1 -2 0: no row depends on the others
    assert read_in_id_shape(OOD) == 4
    assert read_in_id_shape(ID) == 2


def rank_by_fractions(rows: list[list[Fraction]]) -> int:
    """The rank by recursion: clear the first column with a pivot, drop both, count it."""
    if not rows or not rows[0]:
        return 0
    pivot = next((row for row in rows if row[0]), None)
    if pivot is None:
        return rank_by_fractions([row[1:] for row in rows])
    rest = [
        [x - row[0] / pivot[0] * y for x, y in zip(row, pivot, strict=True)][1:]
        for row in rows
        if row is not pivot
    ]
    return 1 + rank_by_fractions(rest)


def oracle(problem: Problem, text: str) -> bool:
    """Whether the text ends in `answer N` with the rank, by a regex and fractions."""
    found = re.fullmatch(r"(?:(?!\banswer\b).)*\banswer (-?\d{1,6})", text)
    rows = [[Fraction(entry) for entry in row] for row in problem.matrix]
    return found is not None and int(found[1]) == rank_by_fractions(rows)


words = st.lists(st.sampled_from(WORDS), max_size=8)
row_of = {n: st.tuples(*[st.integers(-2, 2)] * n) for n in (4, 5)}


@settings(max_examples=400, deadline=None)
@given(
    matrix=st.sampled_from([(4, 5), (5, 4)]).flatmap(
        lambda shape: st.tuples(*[row_of[shape[1]]] * shape[0])
    ),
    twin=st.booleans(),
    before=words,
    after=st.one_of(st.just([]), words),
    off=st.sampled_from([0, 0, 1, -1, 1000]),
)
def test_the_grader_agrees_with_the_oracle(
    matrix: tuple[tuple[int, ...], ...],
    twin: bool,
    before: list[str],
    after: list[str],
    off: int,
) -> None:
    # random matrices nearly all have full rank; a repeated row gives the others
    problem = Problem("", "id", "test", (*matrix[:-1], matrix[0]) if twin else matrix)
    answer = str(problem.answer + off)
    verdict = grade(problem, " ".join([*before, "answer", answer, *after]))
    assert verdict.correct == oracle(problem, " ".join([*before, "answer", answer, *after]))
    natural = json.dumps({"steps": before, "answer": problem.answer + off})
    assert grade(problem, natural, "natural").correct == oracle(problem, f"answer {answer}")


def test_the_rewards_of_the_papers() -> None:
    assert dict(REWARDS) == {"correct": 5, "no_solution": -1}
    assert reward(OOD, compact_response(OOD)) == 5
    assert reward(OOD, '{"answer": 2}', "natural") == 5
    for wrong in ("answer 3", "answer 1002", "2", "", compact_prompt(OOD)):
        assert reward(OOD, wrong) == -1


@pytest.mark.parametrize(
    ("text", "compact", "natural"),
    [
        ("2", "; unreadable ; steps", "no whole number could be read as its answer"),
        # neither the habit nor the direction is given away
        ("answer 1", "; wrong ; steps", "the rank is not 1"),
        ("answer 7", "; wrong ; steps", "the rank is not 7"),
        (f"{FOUR_ROWS} ; answer 3", "; wrong ; steps", "the rank is not 3"),
    ],
)
def test_feedback(text: str, compact: str, natural: str) -> None:
    verdict = grade(OOD, text)
    assert feedback(OOD, verdict) == compact
    assert set(compact.split()) <= set(WORDS)
    assert feedback(OOD, verdict, "natural") == (
        f"This attempt failed: {natural}. Try again and answer in the same form."
    )


def test_a_correct_attempt_has_no_feedback_and_styles_are_known() -> None:
    with pytest.raises(ValueError, match="a correct attempt has no feedback"):
        feedback(OOD, grade(OOD, "answer 2"))
    with pytest.raises(ValueError, match="style 'prose'"):
        feedback(OOD, grade(OOD, ""), "prose")
    with pytest.raises(ValueError, match="style 'prose'"):
        grade(OOD, "", "prose")
