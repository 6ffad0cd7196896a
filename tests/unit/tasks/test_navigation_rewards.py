# SPDX-License-Identifier: MIT
"""The papers' reward table, event by event, and the feedback."""

import re

import pytest

from derotate.tasks.navigation.answers import grade
from derotate.tasks.navigation.compass import HEADINGS
from derotate.tasks.navigation.feedback import feedback
from derotate.tasks.navigation.problems import SPLITS, Problem, generate
from derotate.tasks.navigation.prompts import compact_response, natural_response
from derotate.tasks.navigation.rewards import REWARDS, reward
from derotate.tasks.navigation.routes import Leg

LEGS = (Leg("north", "cafe"), Leg("southeast", "bank"))
TURN = Problem("turn", "ood", "test", "n0000", "west", LEGS, ("start", "none", "cafe"))

# response, reward, compact feedback (None after a right one)
CASES = [
    ("1 cafe at cafe ; 2 now north want southeast ; turn right", 1, None),
    # a right action earns its reward whatever is said beside it
    ("1 cafe at none ; turn right", 1, None),
    ("1 cafe at cafe ; turn southeast", -1, "; wrong action ; leg"),
    ("1 cafe at cafe ; forward", -1, "; wrong action ; leg"),
    ("1 cafe at none ; forward", -1.5, "; wrong place ; leg"),
    ("1 cafe at zoo ; turn southeast", -1.5, "; wrong place ; leg"),
    # where no place can be read, none is wrong
    ("", -1, "; unreadable ; leg"),
    ("turn right", -1, "; unreadable ; leg"),
    ("1 cafe at cafe ; turn up", -1, "; unreadable ; leg"),
    ("1 cafe at none ; turn up", -1.5, "; unreadable ; leg"),
]


def test_the_table_of_the_papers() -> None:
    assert dict(REWARDS) == {
        "correct": 1,
        "wrong_action": -1,
        "wrong_observation": -1.5,
        "wrong_instruction": -1.75,
    }


@pytest.mark.parametrize(("response", "earned", "message"), CASES)
def test_events(response: str, earned: float, message: str | None) -> None:
    assert reward(TURN, response) == earned
    verdict = grade(TURN, response)
    if message is None:
        with pytest.raises(ValueError, match="problem turn: a correct attempt has no feedback"):
            feedback(TURN, verdict)
    else:
        assert feedback(TURN, verdict) == message


@pytest.mark.parametrize(
    ("response", "earned", "reason"),
    [
        ('{"action": "stop()"}', -1, "another action is due"),
        (
            '{"current observation": "There is no landmark.", "action": "forward()"}',
            -1.5,
            "the observation is not what you see now",
        ),
        ("no idea", -1, "no action could be read from it"),
    ],
)
def test_natural_responses_have_the_same_table(response: str, earned: float, reason: str) -> None:
    assert reward(TURN, response, "natural") == earned
    message = feedback(TURN, grade(TURN, response, "natural"), "natural")
    assert message == f"This attempt failed: {reason}. Try again and answer in the same form."


@pytest.mark.parametrize("split", SPLITS)
def test_right_answers_alone_earn_one(split: str) -> None:
    for problem in generate(split, 1, seed=0)[::5]:
        assert reward(problem, compact_response(problem)) == 1
        assert reward(problem, natural_response(problem), "natural") == 1
        for action in ("turn south", "turn left", "forward", "stop"):
            response = compact_response(problem, action)
            assert (reward(problem, response) == 1) == grade(problem, response).correct


@pytest.mark.parametrize("style", ["compact", "natural"])
def test_feedback_gives_no_direction_away(style: str) -> None:
    for response, _, message in CASES:
        if message is not None:
            words = set(re.findall(r"\w+", feedback(TURN, grade(TURN, response), style)))
            assert words.isdisjoint((*HEADINGS, "left", "right", "slightly"))


def test_unknown_styles_are_refused() -> None:
    verdict = grade(TURN, "")
    for ask in (lambda: reward(TURN, "", "prose"), lambda: feedback(TURN, verdict, "prose")):
        with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
            ask()
