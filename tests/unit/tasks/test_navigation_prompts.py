# SPDX-License-Identifier: MIT
"""Golden prompts and answers: a change of a single character is a change of the task."""

import json

import pytest

from derotate.tasks.navigation.answers import grade
from derotate.tasks.navigation.feedback import feedback
from derotate.tasks.navigation.pretraining import WORDS
from derotate.tasks.navigation.problems import SPLITS, Problem, generate
from derotate.tasks.navigation.prompts import (
    compact_prompt,
    compact_response,
    natural_messages,
    natural_response,
    prompt,
    response,
)
from derotate.tasks.navigation.routes import ROUTES, Leg
from derotate.tasks.options import STYLES

LEGS = (Leg("north", "cafe"), Leg("southeast", "bank"), Leg("east", "park"))
PLACES = ("start", "none", "cafe", "zoo", "none", "bank", "park")


def step(split: str, number: int) -> Problem:
    return Problem("x", split, "test", "n0000", "northwest", LEGS, PLACES[:number])


COMPACT_PROMPTS = {
    ("id", 1): "absolute ; 1 north cafe ; 2 southeast bank ; 3 east park ; "
    "at start now northwest ; leg",
    ("ood", 1): "relative ; 1 north cafe ; 2 southeast bank ; 3 east park ; "
    "at start now northwest ; leg",
    ("id", 3): "absolute ; 1 north cafe ; 2 southeast bank ; 3 east park ; "
    "at start turn north ; at none forward ; at cafe now north ; leg",
    ("ood", 3): "relative ; 1 north cafe ; 2 southeast bank ; 3 east park ; "
    "at start turn slightly right ; at none forward ; at cafe now north ; leg",
    # the last three steps: the turn at the cafe is the oldest of them
    ("ood", 6): "relative ; 1 north cafe ; 2 southeast bank ; 3 east park ; "
    "at cafe turn right ; at zoo forward ; at none forward ; at bank now southeast ; leg",
}
COMPACT_RESPONSES = {
    ("id", 1): "0 start at start ; 1 now northwest want north ; turn north",
    ("ood", 1): "0 start at start ; 1 now northwest want north ; turn slightly right",
    ("ood", 2): "1 cafe at none ; forward",
    ("id", 3): "1 cafe at cafe ; 2 now north want southeast ; turn southeast",
    ("ood", 3): "1 cafe at cafe ; 2 now north want southeast ; turn right",
    ("ood", 4): "2 bank at zoo ; forward",
    ("ood", 6): "2 bank at bank ; 3 now southeast want east ; turn slightly left",
    ("ood", 7): "3 park at park ; stop",
}

NATURAL_OOD = """[Task]
You walk through a city by written directions. What you have observed and done so far is listed in \
order. Find the direction that is due now, then choose the next action.

[Directions]
1. Turn slightly right to face north.
2. Go on until you come to the cafe.
3. Turn right to face southeast.
4. Go on until you come to the bank.
5. Turn slightly left to face east.
6. Go on until you come to your destination, the park.

[Actions]
"forward()": go straight on to the next place
"turn_direction(x)": turn and go on to the next place, where x is one of 'left', 'right', \
'slightly left', 'slightly right'
"stop()": you have arrived

[Observations and actions]
O_1: You stand at the start.
A_1: turn_direction(slightly right)
O_2: There is no landmark.
A_2: forward()
O_3: You see the cafe.
A_3:

[Output]
Answer with one JSON object and nothing else:
{
  "current observation": "the last observation",
  "current instruction": "the direction that is due now",
  "action": "one of the actions"
}"""


@pytest.mark.parametrize(("key", "expected"), COMPACT_PROMPTS.items())
def test_golden_compact_prompts(key: tuple[str, int], expected: str) -> None:
    assert compact_prompt(step(*key)) == expected


@pytest.mark.parametrize(("key", "expected"), COMPACT_RESPONSES.items())
def test_golden_compact_responses(key: tuple[str, int], expected: str) -> None:
    assert compact_response(step(*key)) == expected


def test_golden_natural_messages() -> None:
    assert natural_messages(step("ood", 3)) == [{"role": "user", "content": NATURAL_OOD}]
    eight = "'north', 'northeast', 'east', 'southeast', 'south', 'southwest', 'west', 'northwest'"
    sides = "'left', 'right', 'slightly left', 'slightly right'"
    (message,) = natural_messages(step("id", 3))
    assert message["content"] == NATURAL_OOD.replace(sides, eight).replace(
        "A_1: turn_direction(slightly right)", "A_1: turn_direction(north)"
    )


@pytest.mark.parametrize(
    ("number", "observation", "instruction", "action"),
    [
        (1, "You stand at the start.", "Turn slightly right to face north.", "slightly right"),
        (2, "There is no landmark.", "Go on until you come to the cafe.", "forward()"),
        (6, "You see the bank.", "Turn slightly left to face east.", "slightly left"),
        (7, "You see the park.", "Go on until you come to your destination, the park.", "stop()"),
    ],
)
def test_golden_natural_responses(
    number: int, observation: str, instruction: str, action: str
) -> None:
    assert json.loads(natural_response(step("ood", number))) == {
        "current observation": observation,
        "current instruction": instruction,
        "action": action if action.endswith("()") else f"turn_direction({action})",
    }


def test_the_rules_differ_in_what_names_a_turn_alone() -> None:
    for absolute, relative in zip(
        generate("id_turns", 1, seed=0), generate("ood", 1, seed=0), strict=True
    ):
        fields = [compact_prompt(problem).split(" ; ") for problem in (absolute, relative)]
        for one, other in zip(*fields, strict=True):
            assert one == other or " turn " in one or one == "absolute"
        first, second = (compact_response(problem) for problem in (absolute, relative))
        assert first.rpartition(";")[0] == second.rpartition(";")[0]
        assert first != second


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_answer_is_graded_correct(split: str) -> None:
    for problem in generate(split, orders=3, seed=0):
        assert grade(problem, compact_response(problem) + " <eos> <pad>").correct
        assert grade(problem, natural_response(problem), "natural").correct


@pytest.mark.parametrize("split", SPLITS)
def test_the_compact_style_is_short_and_made_of_known_words(split: str) -> None:
    known = set(WORDS)
    for problem in generate(split, ROUTES, seed=0):
        text = f"{compact_prompt(problem)} {compact_response(problem)}"
        words = text.split(" ")
        assert known.issuperset(words)
        assert len(words) + len(("<bos>", "<eos>")) <= 60


def test_two_attempts_fit_the_context_of_the_tiny_model() -> None:
    for problem in generate("ood", 1, seed=0):
        answer = compact_response(problem, "turn slightly left <eos>")
        verdict = grade(problem, compact_response(problem, "stop"))
        message = feedback(problem, verdict)
        assert set(message.split()) <= set(WORDS)
        assert len(f"{compact_prompt(problem)} {answer} {message} {answer}".split()) < 128


def test_styles() -> None:
    assert set(STYLES) == {"compact", "natural"}
    problem = step("ood", 3)
    assert prompt(problem, "compact") == compact_prompt(problem)
    assert prompt(problem, "natural") == natural_messages(problem)
    assert response(problem, "natural") == natural_response(problem)
    for function in (prompt, response):
        with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
            function(problem, "prose")
