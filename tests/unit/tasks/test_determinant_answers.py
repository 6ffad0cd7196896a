# SPDX-License-Identifier: MIT
"""The grader against an oracle of its own; prompts byte by byte; rewards and feedback."""

import json
import re
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.determinant.answers import ErrorKind, grade
from derotate.tasks.determinant.feedback import feedback
from derotate.tasks.determinant.pretraining import WORDS
from derotate.tasks.determinant.problems import Problem
from derotate.tasks.determinant.prompts import (
    compact_prompt,
    compact_response,
    natural_messages,
    natural_response,
    prompt,
    response,
)
from derotate.tasks.determinant.rewards import REWARDS, reward
from derotate.tasks.options import STYLES

ID = Problem("a", "id", "train", ((2, -1), (3, 4)))
OOD = Problem("b", "ood", "test", ((2, -1, 3), (0, 4, -5), (1, 1, 2)))

NATURAL_OOD = """\
[Task]
Work out the determinant of this matrix of whole numbers. It is given row by row.

[Input]
Matrix:
[[2, -1, 3],
 [0, 4, -5],
 [1, 1, 2]]

[Output]
Answer with one JSON object and nothing else:
{
  "answer": the determinant, a whole number
}"""


def test_golden_prompts() -> None:
    assert compact_prompt(ID) == "det 2 -1 / 3 4 ; steps"
    assert compact_prompt(OOD) == "det 2 -1 3 / 0 4 -5 / 1 1 2 ; steps"
    assert natural_messages(OOD) == [{"role": "user", "content": NATURAL_OOD}]
    (message,) = natural_messages(ID)
    matrix = "[[2, -1, 3],\n [0, 4, -5],\n [1, 1, 2]]"
    assert message["content"] == NATURAL_OOD.replace(matrix, "[[2, -1],\n [3, 4]]")


def test_golden_responses() -> None:
    assert compact_response(ID) == "8 - -3 = 11 ; answer 11"
    assert compact_response(OOD) == (
        "8 - -5 = 13 ; 0 - -5 = 5 ; 0 - 4 = -4 ; 26 - -5 = 31 ; 31 + -12 = 19 ; answer 19"
    )
    assert natural_response(OOD) == '{"answer": 19}'


def test_styles() -> None:
    assert set(STYLES) == {"compact", "natural"}
    assert prompt(OOD, "compact") == compact_prompt(OOD)
    assert prompt(OOD, "natural") == natural_messages(OOD)
    for refuse in (prompt, response):
        with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
            refuse(OOD, "prose")


@pytest.mark.parametrize(
    ("problem", "text", "kind"),
    [
        (ID, "8 - -3 = 11 ; answer 11", "correct"),
        (ID, "answer 11", "correct"),
        # the steps are not graded
        (ID, "8 - 3 = 5 ; answer 11 <eos>", "correct"),
        (ID, "8 - -3 = 11 ; answer -11", "wrong_sign"),
        (ID, "8 - 3 = 5 ; answer 5", "wrong_value"),
        # right in the wrong field
        (ID, "8 - -3 = 11", "unparsable"),
        (ID, "11", "unparsable"),
        # an echo of the prompt, another language, nothing
        (ID, compact_prompt(ID), "unparsable"),
        (ID, "die Determinante ist 11", "unparsable"),
        (ID, "", "unparsable"),
        # one line where the matrix needs five
        (OOD, "8 - 0 = 8 ; answer 8", "id_rule_applied"),
        (OOD, "8 - -5 = 13 ; answer 13", "id_rule_applied"),
        (OOD, "8 - -5 = 13 ; 0 - -5 = 5 ; answer 5", "wrong_value"),
        (OOD, "answer -19", "wrong_sign"),
        (OOD, "8 - 0 = 19 ; answer 19", "correct"),
    ],
)
def test_compact_responses(problem: Problem, text: str, kind: str) -> None:
    assert grade(problem, text).kind == kind


@pytest.mark.parametrize(
    ("problem", "text", "kind"),
    [
        (OOD, '{"answer": 19}', "correct"),
        (OOD, 'It is\n{"answer": "19"}', "correct"),
        (OOD, '{"answer": 8}', "id_rule_applied"),
        (OOD, '{"answer": -19}', "wrong_sign"),
        (OOD, '{"answer": 13}', "wrong_value"),
        # a small determinant is no sign of a habit where the matrix is small
        (ID, '{"answer": 8}', "wrong_value"),
        (OOD, '{"determinant": 19}', "unparsable"),
        (OOD, "The determinant is 19.", "unparsable"),
        (OOD, NATURAL_OOD, "unparsable"),
        (OOD, "", "unparsable"),
    ],
)
def test_natural_responses(problem: Problem, text: str, kind: str) -> None:
    assert grade(problem, text, "natural").kind == kind


def test_a_singular_matrix_has_one_answer_and_no_sign() -> None:
    singular = Problem("c", "id", "test", ((1, 2), (2, 4)))
    assert grade(singular, "4 - 4 = 0 ; answer 0").correct
    assert grade(singular, "answer -0").correct
    assert grade(singular, "4 - 4 = 8 ; answer 8").kind is ErrorKind.WRONG_VALUE


def oracle(problem: Problem, text: str) -> bool:
    """Whether the text ends in `answer N` with the determinant, by a regex and permutations."""
    found = re.fullmatch(r"(?:(?!\banswer\b).)*\banswer (-?\d{1,6})", text)
    total = 0
    for order in permutations(range(len(problem.matrix))):
        swaps = sum(a > b for i, b in enumerate(order) for a in order[:i])
        term = -1 if swaps % 2 else 1
        for i, j in enumerate(order):
            term *= problem.matrix[i][j]
        total += term
    return found is not None and int(found[1]) == total


words = st.lists(st.sampled_from(WORDS), max_size=8)


@settings(max_examples=400, deadline=None)
@given(
    matrix=st.integers(2, 3).flatmap(
        lambda n: st.tuples(*[st.tuples(*[st.integers(-5, 5)] * n)] * n)
    ),
    before=words,
    after=st.one_of(st.just([]), words),
    off=st.sampled_from([0, 0, 1, -1, 10]),
)
def test_the_grader_agrees_with_the_oracle(
    matrix: tuple[tuple[int, ...], ...], before: list[str], after: list[str], off: int
) -> None:
    problem = Problem("", "ood", "test", matrix)
    text = " ".join([*before, "answer", str(problem.answer + off), *after])
    verdict = grade(problem, text)
    assert verdict.correct == oracle(problem, text)
    natural = json.dumps({"steps": before, "answer": problem.answer + off})
    assert grade(problem, natural, "natural").correct == oracle(
        problem, f"answer {problem.answer + off}"
    )


def test_the_rewards_of_the_papers() -> None:
    assert dict(REWARDS) == {"correct": 5, "no_solution": -1}
    assert reward(OOD, compact_response(OOD)) == 5
    assert reward(OOD, '{"answer": 19}', "natural") == 5
    for wrong in ("answer -19", "answer 8", "19", "", compact_prompt(OOD)):
        assert reward(OOD, wrong) == -1


@pytest.mark.parametrize(
    ("text", "compact", "natural"),
    [
        ("19", "; unreadable ; steps", "no whole number could be read as its answer"),
        ("answer 8", "; wrong ; steps", "the determinant is not 8"),
        # neither the habit nor the sign is given away
        ("8 - 0 = 8 ; answer 8", "; wrong ; steps", "the determinant is not 8"),
        ("answer -19", "; wrong ; steps", "the determinant is not -19"),
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
        feedback(OOD, grade(OOD, "answer 19"))
    with pytest.raises(ValueError, match="style 'prose'"):
        feedback(OOD, grade(OOD, ""), "prose")
    with pytest.raises(ValueError, match="style 'prose'"):
        grade(OOD, "", "prose")
