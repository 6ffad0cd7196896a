# SPDX-License-Identifier: MIT
"""The papers' reward table, event by event and where penalties add, and the feedback."""

import pytest

from derotate.tasks.general_points.answers import grade
from derotate.tasks.general_points.feedback import feedback
from derotate.tasks.general_points.pretraining import WORDS
from derotate.tasks.general_points.problems import ID_RULE, OOD_RULE, Problem, generate
from derotate.tasks.general_points.prompts import compact_response, natural_response
from derotate.tasks.general_points.rewards import REWARDS, reward

EIGHTS = Problem("id-3-3-8-8-0", "id", "rl", ("3", "3", "8", "8"), ID_RULE)
OOD = Problem("ood-3-5-11-12-0", "ood", "test", ("3", "J", "5", "Q"), OOD_RULE)


def test_the_table_of_the_papers() -> None:
    assert dict(REWARDS) == {
        "correct": 5,
        "partial": 1,
        "no_solution": -1,
        "wrong_recognition": -1.5,
        "wrong_number": -2,
        "illegal_formula": -3,
    }


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("8 / ( 3 - 8 / 3 )", 5),
        ("8/(3-8/3)", 5),
        ("( 8 / ( 3 - 8 / 3 ) )", 5),
        # all numbers are there, the solution's last bracket is not
        ("8 / ( 3 - 8 / 3", 1),
        # a shorter prefix leaves numbers unused, which costs before anything is gained
        ("8 / ( 3 - 8", -2),
        ("8", -2),
        ("", -2),
        ("8 + 8 + 3 + 3", -1),
        ("8 / ( 3 - 3 ) + 8", -1),
        ("( 8 + 8 + 3 + 3", -1),
        # a foreign number, and an unused one
        ("8 / ( 3 - 8 / 4 )", -2 - 2),
        ("8 / ( 3 - 8 / 3 ) + 3", -2),
        # misplaced tokens, each
        ("8 / / ( 3 - 8 / 3 )", -3),
        ("8 / ( 3 - 8 / 3 ) )", -3),
        ("8 8 3 3", -3 - 3 - 3),
        # two misplaced and one unused: the papers' own example of a sum
        ("8 8 3", -3 - 3 - 2),
        ("8 8 4 3", -3 - 3 - 3 - 2 - 2),
        # other characters end the reading
        ("8 x 3", -3),
        ("9" * 1000, -3),
    ],
)
def test_formulas(formula: str, expected: float) -> None:
    assert reward(EIGHTS, f"3 3 8 8 ; formula {formula} = 24 <eos>") == expected
    # wrong recognised numbers cost on top, whatever the formula
    assert reward(EIGHTS, f"3 3 8 9 ; formula {formula} = 24 <eos>") == expected - 1.5


def test_the_order_of_the_recognised_numbers_is_free() -> None:
    assert reward(EIGHTS, "8 3 8 3 ; formula 8 / ( 3 - 8 / 3 ) = 24") == 5


def test_a_response_without_the_form_is_an_illegal_formula() -> None:
    assert reward(EIGHTS, "") == -3
    assert reward(EIGHTS, "3 3 8 8 ; formula 8 / ( 3 - 8 / 3 )") == -3
    assert reward(EIGHTS, "4 3 8 8 ; formula") == -3 - 1.5
    assert reward(EIGHTS, "no idea", "natural") == -3


def test_a_right_formula_that_claims_another_value_is_no_solution() -> None:
    assert reward(EIGHTS, "3 3 8 8 ; formula 8 / ( 3 - 8 / 3 ) = 23") == -1


def test_natural_responses_have_the_same_table() -> None:
    assert reward(OOD, natural_response(OOD), "natural") == 5
    assert reward(OOD, '{"number": [3, 10, 5, 10], "formula": "10+10+5-3"}', "natural") == -5.5
    assert reward(OOD, '{"formula": "3+11+5+12=24"}', "natural") == -1


@pytest.mark.parametrize("split", ["id", "ood"])
def test_only_correct_responses_earn_five(split: str) -> None:
    for problem in generate(split, orders=1, seed=0):
        assert reward(problem, compact_response(problem)) == 5
        numbers = " + ".join(map(str, problem.numbers))
        plain_sum = compact_response(problem, numbers)
        assert (reward(problem, plain_sum) == 5) == grade(problem, plain_sum).correct


@pytest.mark.parametrize(
    ("response", "compact", "natural"),
    [
        ("", "; unreadable ; numbers", "no formula could be read from it"),
        (
            "3 ; formula 12 + 12 = 24",
            "; wrong numbers ; numbers",
            "the formula does not use the number of each of your cards exactly once",
        ),
        (
            "3 ; formula 10 + 10 + 5 - 3 = 24",
            "; wrong numbers ; numbers",
            "the formula does not use the number of each of your cards exactly once",
        ),
        (
            "3 ; formula 3 + 11 + 5 / 12 = 24",
            "; wrong value ; numbers",
            "the formula is worth 173/12, not 24",
        ),
        (
            "3 ; formula 3 / ( 11 - 11 ) = 24",
            "; wrong numbers ; numbers",
            "the formula does not use the number of each of your cards exactly once",
        ),
        (
            "3 ; formula ( 11 - 5 ) * 12 / 3 = 23",
            "; wrong value ; numbers",
            "the formula does not say that it is worth 24",
        ),
    ],
)
def test_feedback(response: str, compact: str, natural: str) -> None:
    verdict = grade(OOD, response)
    assert feedback(OOD, verdict) == compact
    assert feedback(OOD, verdict, "natural") == (
        f"This attempt failed: {natural}. Try again and answer in the same form."
    )
    assert set(compact.split()) <= set(WORDS)


def test_feedback_names_a_division_by_zero() -> None:
    verdict = grade(EIGHTS, "3 ; formula 8 / ( 3 - 3 ) + 8 = 24")
    assert "divides by zero" in feedback(EIGHTS, verdict, "natural")


def test_a_correct_attempt_has_no_feedback() -> None:
    with pytest.raises(ValueError, match="a correct attempt has no feedback"):
        feedback(OOD, grade(OOD, compact_response(OOD)))


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style 'prose'"):
        feedback(OOD, grade(OOD, ""), "prose")
