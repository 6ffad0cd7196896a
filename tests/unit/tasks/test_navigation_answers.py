# SPDX-License-Identifier: MIT
"""The grader against oracles that know a prompt's text only."""

import cmath
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.navigation.answers import ErrorKind, grade, read
from derotate.tasks.navigation.problems import SPLITS, Problem, generate
from derotate.tasks.navigation.prompts import (
    compact_prompt,
    compact_response,
    natural_action,
    natural_messages,
    natural_response,
)
from derotate.tasks.navigation.routes import ROUTES, Leg
from derotate.tasks.navigation.streets import LANDMARKS
from derotate.tasks.responses import MAX_RESPONSE

COMPASS = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")
ARROWS = {name: cmath.exp(1j * cmath.pi * (0.5 - 0.25 * i)) for i, name in enumerate(COMPASS)}
SIDES = ("left", "right", "slightly left", "slightly right")
ACTIONS = ("forward", "stop", *(f"turn {name}" for name in (*COMPASS, *SIDES)))
PLACES = (*LANDMARKS, "start", "none")

LEGS = (Leg("north", "cafe"), Leg("southeast", "bank"))
TURN = Problem("turn", "ood", "test", "n0000", "west", LEGS, ("start", "none", "cafe"))
ID_TURN = Problem("id", "id", "test", "n0000", "west", LEGS, ("start", "none", "cafe"))
ON = Problem("on", "ood", "test", "n0000", "west", LEGS, ("start", "none"))
END = Problem("end", "ood", "test", "n0000", "west", LEGS, ("start", "cafe", "bank"))


def side(now: str, wanted: str) -> str:
    """By the complex plane, where left is anticlockwise."""
    angle = cmath.phase(ARROWS[wanted] / ARROWS[now]) * 180 / cmath.pi
    return ("slightly " if abs(angle) < 46 else "") + ("left" if angle > 0 else "right")


def compact_oracle(prompt: str) -> str:
    """The right action, from a compact prompt alone."""
    rule, *fields, asked = (field.split() for field in prompt.split(" ; "))
    assert asked == ["leg"]
    legs = [field for field in fields if field[0].isdigit()]
    *past, last = (field for field in fields if field[0] == "at")
    turned_at = [step[1] for step in past if step[2] == "turn"]
    ends = ["start", *(landmark for _, _, landmark in legs)]
    walked = ends.index(turned_at[-1]) + 1 if turned_at else 0
    _, here, _, now = last
    if here != ends[walked]:
        return "forward"
    if walked == len(legs):
        return "stop"
    wanted = legs[walked][1]
    return f"turn {wanted if rule == ['absolute'] else side(now, wanted)}"


def natural_oracle(content: str) -> str:
    """The right action, from a natural prompt alone: sides are read, not computed."""
    directions = re.findall(r"^\d+\. (.+)$", content, re.MULTILINE)
    observations = re.findall(r"^O_\d+: (.+)$", content, re.MULTILINE)
    turns = len(re.findall(r"^A_\d+: turn_direction", content, re.MULTILINE))
    if turns:
        landmark = directions[2 * turns - 1].rstrip(".").split()[-1]
        if landmark not in observations[-1].rstrip(".").split():
            return "forward()"
        if 2 * turns == len(directions):
            return "stop()"
    turn = re.fullmatch(r"Turn (.+) to face (.+)\.", directions[2 * turns])
    assert turn is not None
    return f"turn_direction({turn[1 if 'slightly left' in content.split('[Actions]')[1] else 2]})"


@pytest.mark.parametrize("split", SPLITS)
def test_a_prompt_determines_its_action_and_the_reference_answer_gives_it(split: str) -> None:
    for problem in generate(split, ROUTES, seed=0)[:10_000]:
        assert problem.action == compact_oracle(compact_prompt(problem))
        assert compact_response(problem).rpartition(" ; ")[2] == problem.action
        action = natural_oracle(natural_messages(problem)[0]["content"])
        assert json.loads(natural_response(problem))["action"] == action
        assert natural_action(problem.action) == action


def expected_kind(prompt: str, response: str) -> str:
    """What a response is, by regular expressions and the oracle."""
    place, heading = "|".join(PLACES), "|".join(COMPASS)
    form = re.fullmatch(
        rf"\s*\d\d?\s+(?:{place})\s+at\s+(?:{place})\s*;"
        rf"(?:\s*\d\d?\s+now\s+(?:{heading})\s+want\s+(?:{heading})\s*;)?([^;]*)",
        response.split("<eos>")[0],
        re.ASCII,
    )
    action = " ".join(form[1].split()) if form else ""
    right = compact_oracle(prompt)
    if action not in ACTIONS:
        return "unparsable"
    if action == right:
        return "correct"
    compass, turn = action.split()[-1] in COMPASS, action.startswith("turn")
    if turn and compass == prompt.startswith("relative"):
        return "id_rule_applied" if compass else "outside_actions"
    return "wrong_turn" if turn and right.startswith("turn") else "wrong_move"


ASKED = [problem for split in SPLITS for problem in generate(split, 1, seed=0)[::40]]


@st.composite
def responses(draw: st.DrawFn, problem: Problem) -> str:
    """The reference form with any action, then up to three words dropped, changed or added."""
    words = compact_response(problem, draw(st.sampled_from(ACTIONS))).split()
    word = st.sampled_from(
        [*COMPASS, *PLACES, *"0123;", "leg", "at", "now", "want", "turn", "left", "right",
         "slightly", "forward", "stop", "<eos>", "turns", "10", "123", "up"]
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 3))):
        i = draw(st.integers(0, len(words)))
        words[i : i + draw(st.integers(0, 1))] = draw(st.lists(word, max_size=1))
    return draw(st.sampled_from([" ", "  ", "\n"])).join(words)


@settings(max_examples=1500, deadline=None)
@given(data=st.data())
def test_the_grader_agrees_with_the_oracle(data: st.DataObject) -> None:
    problem = data.draw(st.sampled_from(ASKED))
    response = data.draw(responses(problem))
    verdict = grade(problem, response)
    assert verdict.kind == expected_kind(compact_prompt(problem), response)
    assert verdict.correct == (verdict.kind == "correct")


@settings(max_examples=300, deadline=None)
@given(problem=st.sampled_from(ASKED), action=st.sampled_from(ACTIONS))
def test_both_styles_get_the_same_verdict(problem: Problem, action: str) -> None:
    compact = grade(problem, compact_response(problem, action))
    natural = grade(problem, natural_response(problem, action), "natural")
    assert compact == natural
    assert compact.action == action
    assert compact.seen == problem.here


@pytest.mark.parametrize(
    ("response", "kind", "seen"),
    [
        ("1 cafe at cafe ; 2 now north want southeast ; turn right", "correct", "cafe"),
        ("1 cafe at cafe ; 2 now north want southeast ; turn right <eos> junk", "correct", "cafe"),
        # the action decides: the recognition is only recorded, and may be left out for the turn
        ("1 cafe at cafe ; turn right", "correct", "cafe"),
        ("2 bank at none ; 3 now south want east ; turn right", "correct", "none"),
        ("1 cafe at cafe ; 2 now north want southeast ; turn southeast", "id_rule_applied", "cafe"),
        ("1 cafe at cafe ; 2 now north want southeast ; turn west", "id_rule_applied", "cafe"),
        ("1 cafe at cafe ; 2 now north want southeast ; turn slightly right", "wrong_turn", "cafe"),
        ("1 cafe at none ; forward", "wrong_move", "none"),
        ("1 cafe at cafe ; stop", "wrong_move", "cafe"),
        # right in the wrong field
        ("turn right ; 1 cafe at cafe", "unparsable", None),
        ("1 cafe at cafe ; turn right ; forward", "unparsable", "cafe"),
        ("turn right", "unparsable", None),
        ("1 cafe at cafe ; 2 now north want southeast", "unparsable", "cafe"),
        ("1 cafe at cafe ; 2 now north want southeast ; turn right ; stop", "unparsable", "cafe"),
        ("1 cafe at cafe ; turn right forward", "unparsable", "cafe"),
        ("1 cafe at cafe ; turn up", "unparsable", "cafe"),
        ("1 cafe at cafe ; Turn Right", "unparsable", "cafe"),
        ("1 pub at cafe ; turn right", "unparsable", None),
        ("\u0661 cafe at cafe ; turn right", "unparsable", None),
        ("<eos> 1 cafe at cafe ; turn right", "unparsable", None),
        ("rechts abbiegen", "unparsable", None),
        (compact_prompt(TURN), "unparsable", None),
        ("", "unparsable", None),
    ],
)
def test_compact_responses(response: str, kind: str, seen: str | None) -> None:
    verdict = grade(TURN, response)
    assert (verdict.kind, verdict.seen) == (kind, seen)


@pytest.mark.parametrize(
    ("problem", "action", "kind"),
    [
        (ID_TURN, "turn southeast", "correct"),
        (ID_TURN, "turn right", "outside_actions"),
        (ID_TURN, "turn south", "wrong_turn"),
        (ID_TURN, "forward", "wrong_move"),
        (ON, "forward", "correct"),
        (ON, "turn right", "wrong_move"),
        # the habit shows wherever the compass is used, a turn being due or not
        (ON, "turn southeast", "id_rule_applied"),
        (END, "stop", "correct"),
        (END, "forward", "wrong_move"),
        (END, "turn left", "wrong_move"),
    ],
)
def test_kinds(problem: Problem, action: str, kind: str) -> None:
    assert grade(problem, compact_response(problem, action)).kind == kind


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ('{"action": "turn_direction(right)"}', "correct"),
        ('{"action": " turn_direction ( \'right\' ) "}', "correct"),
        ('Sure!\n```json\n{"action": "turn_direction(right)"}\n```', "correct"),
        ('I am {lost}. {"action": "turn_direction(right)"}', "correct"),
        # the last object with the field counts
        ('{"action": "forward()"} {"action": "turn_direction(right)"}', "correct"),
        ('{"action": "turn_direction(southeast)"}', "id_rule_applied"),
        ('{"action": "turn_direction(slightly right)"}', "wrong_turn"),
        ('{"action": "stop()"}', "wrong_move"),
        # right in the wrong field
        ('{"current instruction": "turn_direction(right)"}', "unparsable"),
        ('{"current instruction": "turn_direction(right)", "action": "stop()"}', "wrong_move"),
        ('{"action": {"action": "turn_direction(right)"}}', "unparsable"),
        ('{"action": ["turn_direction(right)"]}', "unparsable"),
        ('{"action": "turn right"}', "unparsable"),
        ('{"action": "turn_direction(right) or forward()"}', "unparsable"),
        ('{"action": "turn_direction(up)"}', "unparsable"),
        ('{"action": "turn_direction()"}', "unparsable"),
        ('{"action": "forward"}', "unparsable"),
        ("{'action': 'turn_direction(right)'}", "unparsable"),
        ('["turn_direction(right)"]', "unparsable"),
        ("turn_direction(right)", "unparsable"),
        (natural_messages(TURN)[0]["content"], "unparsable"),
    ],
)
def test_natural_responses(response: str, kind: str) -> None:
    assert grade(TURN, response, "natural").kind == kind


@pytest.mark.parametrize(
    ("observation", "seen"),
    [
        ("You see the cafe.", "cafe"),
        ("Cafe", "cafe"),
        ("There is no landmark.", "none"),
        ("I stand at the start.", "start"),
        ("the cafe, not the bank", None),
        ("a cafeteria", None),
        ("", None),
        (7, None),
        (["cafe"], None),
    ],
)
def test_the_place_that_a_natural_response_sees(observation: object, seen: str | None) -> None:
    response = json.dumps({"current observation": observation, "action": "stop()"})
    assert read(response, "natural").seen == seen


NASTY = {
    "one megabyte of words": "cafe " * 200_000,
    "one megabyte of separators": ";" * 1_000_000,
    "one megabyte of spaces": " " * 1_000_000,
    "one megabyte of digits": "9" * 1_000_000,
    "one megabyte of braces": "{" * 1_000_000,
    "one megabyte of objects": '{"action":' * 100_000,
    "one megabyte of lists": '{"action":' + "[" * 1_000_000,
    "one megabyte of brackets": "turn_direction(" + "(" * 1_000_000,
    "spaces in a call": "turn_direction" + " " * 60_000 + "x",
    "lone surrogates and zeros": "\ud800\x00\udfff" * 1000,
    "code": "__import__('os').system('true')",
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_hostile_text_is_graded_wrong_in_bounded_time(text: str) -> None:
    started = time.process_time()
    for response in (text, f"1 cafe at cafe ; {text}", f"{text} ; turn right"):
        assert not grade(TURN, response).correct
    for response in (text, json.dumps({"action": text}), json.dumps({"current observation": text})):
        assert not grade(TURN, response, "natural").correct
    assert time.process_time() - started < 1


def test_what_comes_after_the_longest_text_is_not_read() -> None:
    answer = " ; turn right"
    room = MAX_RESPONSE - len("1 cafe at cafe" + answer)
    assert grade(TURN, "1 cafe at cafe" + " " * room + answer).correct
    assert not grade(TURN, "1 cafe at cafe" + " " * (room + 1) + answer).correct


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=400))
def test_any_text_gets_a_verdict(text: str) -> None:
    for style in ("compact", "natural"):
        assert grade(TURN, text, style).kind is ErrorKind.UNPARSABLE


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
        grade(TURN, "", "prose")
