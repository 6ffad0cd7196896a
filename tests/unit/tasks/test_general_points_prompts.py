# SPDX-License-Identifier: MIT
"""Golden prompts: a change of a byte here changes what every model of a study reads."""

import json

import pytest

from derotate.tasks.general_points.answers import grade
from derotate.tasks.general_points.problems import ID_RULE, OOD_RULE, SPLITS, Problem, generate
from derotate.tasks.general_points.prompts import (
    compact_prompt,
    compact_response,
    natural_messages,
    natural_response,
    prompt,
    reference_formula,
)
from derotate.tasks.options import STYLES

HAND = ("3", "J", "5", "Q")
ID = Problem("id-3-5-10-10-0", "id", "train", HAND, ID_RULE)
OOD = Problem("ood-3-5-11-12-0", "ood", "test", HAND, OOD_RULE)
UNSOLVABLE = Problem("ood-1-1-1-1-0", "ood", "", ("1", "1", "1", "1"), OOD_RULE)

NATURAL_OOD = """\
[Task]
You hold 4 playing cards. Write a formula that is worth 24 and uses the number of every card \
exactly once.
Cards 1 to 10 count as their own number. 'J' counts as 11, 'Q' counts as 12 and 'K' counts as 13.
Allowed are '+', '-', '*', '/' and brackets.

[Input]
Cards: ['3', 'J', '5', 'Q']

[Output]
Answer with one JSON object and nothing else:
{
  "cards": [the cards of your hand],
  "number": [the number of each card, in the same order],
  "formula": "a formula that is worth 24"
}"""


def test_golden_compact_prompts() -> None:
    assert compact_prompt(ID) == "rule J = 10 Q = 10 K = 10 ; cards 3 J 5 Q ; numbers"
    assert compact_prompt(OOD) == "rule J = 11 Q = 12 K = 13 ; cards 3 J 5 Q ; numbers"


def test_golden_compact_responses() -> None:
    assert compact_response(OOD) == "3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3 = 24"
    assert compact_response(OOD, "12 + 12") == "3 11 5 12 ; formula 12 + 12 = 24"


def test_golden_natural_messages() -> None:
    assert natural_messages(OOD) == [{"role": "user", "content": NATURAL_OOD}]
    (message,) = natural_messages(ID)
    assert "'J' counts as 10, 'Q' counts as 10 and 'K' counts as 10" in message["content"]


def test_natural_response_is_the_json_that_the_prompt_asks_for() -> None:
    fields = json.loads(natural_response(OOD))
    assert list(fields) == ["cards", "number", "formula"]
    assert fields["cards"] == list(HAND)
    assert fields["number"] == [3, 11, 5, 12]
    assert fields["formula"] == f"{reference_formula(OOD)} = 24"


def test_the_two_prompts_differ_only_in_the_rule() -> None:
    assert compact_prompt(ID).partition(";")[2] == compact_prompt(OOD).partition(";")[2]


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_answer_is_graded_correct(split: str) -> None:
    for problem in generate(split, orders=1, seed=0):
        assert grade(problem, compact_response(problem) + " <eos> <pad>").correct
        assert grade(problem, natural_response(problem), "natural").correct


def test_every_token_of_the_compact_style_stands_between_spaces() -> None:
    for problem in generate("ood", orders=1, seed=0):
        text = f"{compact_prompt(problem)} {compact_response(problem)}"
        assert text == " ".join(text.split())
        assert all(token.isdigit() or token.isalpha() or len(token) == 1 for token in text.split())


def test_styles() -> None:
    assert set(STYLES) == {"compact", "natural"}
    assert prompt(OOD, "compact") == compact_prompt(OOD)
    assert prompt(OOD, "natural") == natural_messages(OOD)
    with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
        prompt(OOD, "prose")


def test_a_problem_without_solution_has_no_reference_answer() -> None:
    with pytest.raises(ValueError, match="1-1-1-1 cannot make 24"):
        compact_response(UNSOLVABLE)
    assert compact_prompt(UNSOLVABLE).endswith("cards 1 1 1 1 ; numbers")
