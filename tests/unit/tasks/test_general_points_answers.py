# SPDX-License-Identifier: MIT
"""The grader against an independent reading of formulas (Python's own parser, exact fractions)."""

import ast
import json
import random
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.general_points.answers import (
    MAX_FORMULA,
    ErrorKind,
    FormulaError,
    grade,
    parse,
    value,
)
from derotate.tasks.general_points.problems import ID_RULE, OOD_RULE, Problem
from derotate.tasks.general_points.solver import solution_table

EIGHTS = Problem("id-3-3-8-8-0", "id", "rl", ("3", "3", "8", "8"), ID_RULE)
OOD = Problem("ood-3-5-11-12-0", "ood", "test", ("3", "J", "5", "Q"), OOD_RULE)

OPERATIONS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def oracle(text: str) -> tuple[list[int], Fraction | None] | None:
    """Numbers and value (None: division by zero) by Python's parser; None if it is no formula."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return None
    numbers: list[int] = []

    def evaluate(node: ast.expr) -> Fraction | None:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            numbers.append(node.value)
            return Fraction(node.value)
        if not isinstance(node, ast.BinOp) or type(node.op) not in OPERATIONS:
            raise TypeError
        left, right = evaluate(node.left), evaluate(node.right)
        if left is None or right is None:
            return None
        sign = OPERATIONS[type(node.op)]
        if sign == "/":
            return left / right if right else None
        return {"+": left + right, "-": left - right, "*": left * right}[sign]

    try:
        return numbers, evaluate(tree.body)
    except TypeError:
        return None


def expected_kind(problem: Problem, text: str) -> ErrorKind:
    found = oracle(text)
    if found is None:
        return ErrorKind.UNPARSABLE
    numbers, worth = found
    if sorted(numbers) != sorted(problem.numbers):
        ten_for_face = sorted(10 if card in "JQK" else int(card) for card in problem.cards)
        same = sorted(numbers) == ten_for_face
        return ErrorKind.ID_RULE_APPLIED if same else ErrorKind.WRONG_NUMBERS
    return ErrorKind.CORRECT if worth == problem.target else ErrorKind.WRONG_VALUE


def formulas(numbers: list[int]) -> st.SearchStrategy[str]:
    """Random formulas with explicit or left-out brackets over the numbers, each used once."""

    @st.composite
    def build(draw: st.DrawFn) -> str:
        parts = [str(number) for number in draw(st.permutations(numbers))]
        while len(parts) > 1:
            i = draw(st.integers(0, len(parts) - 2))
            joined = f"{parts[i]} {draw(st.sampled_from('+-*/'))} {parts[i + 1]}"
            parts[i : i + 2] = [f"( {joined} )" if draw(st.booleans()) else joined]
        return parts[0]

    return build()


@st.composite
def mutated(draw: st.DrawFn, numbers: list[int]) -> str:
    """A formula with up to three tokens dropped, changed or added."""
    tokens = draw(formulas(numbers)).split()
    token = st.sampled_from([*"+-*/()", *map(str, range(1, 14))])
    for _ in range(draw(st.integers(0, 3))):
        i = draw(st.integers(0, len(tokens)))
        tokens[i : i + draw(st.integers(0, 1))] = draw(st.lists(token, max_size=1))
    return " ".join(tokens)


@settings(max_examples=600, deadline=None)
@given(text=st.one_of(mutated([3, 11, 5, 12]), mutated([3, 10, 5, 10]), mutated([3, 3, 8, 8])))
@pytest.mark.parametrize("problem", [OOD, EIGHTS], ids=["ood", "eights"])
def test_the_grader_agrees_with_the_oracle(problem: Problem, text: str) -> None:
    expected = expected_kind(problem, text)
    verdict = grade(problem, f"1 2 3 4 ; formula {text} = 24 <eos>")
    assert verdict.kind is expected
    assert verdict.correct == (expected is ErrorKind.CORRECT)
    assert grade(problem, json.dumps({"formula": text}), "natural").kind is expected
    found = oracle(text)
    assert verdict.value == (found[1] if found else None)


def test_the_grader_agrees_with_the_oracle_on_every_solution_and_its_neighbours() -> None:
    draw = random.Random(0)
    kinds = set()
    for hand, formula in solution_table().items():
        if formula is None:
            continue
        faces = {11: "J", 12: "Q", 13: "K"}
        cards = tuple(faces.get(number, str(number)) for number in hand)
        problem = Problem("x", "ood", "test", cards, OOD_RULE)
        assert grade(problem, f"{hand[0]} ; formula {formula} = 24").correct
        tokens = formula.split()
        tokens[draw.randrange(len(tokens))] = draw.choice([*"+-*/()", "3", "10"])
        neighbour = " ".join(tokens)
        kind = grade(problem, f"{hand[0]} ; formula {neighbour} = 24").kind
        assert kind is expected_kind(problem, neighbour)
        kinds.add(kind)
    assert kinds >= {ErrorKind.CORRECT, ErrorKind.UNPARSABLE, ErrorKind.WRONG_NUMBERS}


def test_eight_thirds() -> None:
    assert value("8/(3-8/3)") == 24
    verdict = grade(EIGHTS, "3 3 8 8 ; formula 8 / ( 3 - 8 / 3 ) = 24 <eos>")
    assert verdict.correct
    assert verdict.recognised == (3, 3, 8, 8)
    assert grade(EIGHTS, '{"formula": "8/(3-8/3)"}', "natural").correct


@pytest.mark.parametrize(
    ("formula", "worth"),
    [
        ("7", 7),
        ("10 - 3 - 2", 5),
        ("24 / 4 / 3", 2),
        ("2 + 3 * 4", 14),
        ("((2+3))*4", 20),
        ("8÷3×3", 8),
        (" 1\t/ 3\n", Fraction(1, 3)),
        ("2 - 5", -3),
    ],
)
def test_values(formula: str, worth: int | Fraction) -> None:
    assert value(formula) == worth


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "  ",
        "()",
        "3 4",
        "3 +",
        "* 3",
        "-3",
        "3 - -3",
        "3 ** 2",
        "3 // 2",
        "(3",
        "3)",
        "3 ( 4 )",
        "(3)(4)",
        "3 + x",
        "1.5",
        "1e3",
        "3\u0661",
        "\u00b3",
        "__import__('os')",
        "3 = 3",
    ],
)
def test_what_is_no_formula(formula: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(formula)
    assert "\n" not in str(caught.value)


def test_division_by_zero_has_no_value_but_is_graded() -> None:
    with pytest.raises(FormulaError, match="divides by zero"):
        value("8 / ( 3 - 3 ) + 8")
    verdict = grade(EIGHTS, "3 3 8 8 ; formula 8 / ( 3 - 3 ) + 8 = 24")
    assert (verdict.kind, verdict.value) == (ErrorKind.WRONG_VALUE, None)


@pytest.mark.parametrize(
    ("response", "kind", "recognised"),
    [
        ("3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3 = 24", "correct", (3, 11, 5, 12)),
        ("3 11 5 12 ; formula (11-5)*12/3 = 24 <eos> junk", "correct", (3, 11, 5, 12)),
        # the formula decides, the recognised numbers are only recorded
        ("3 10 5 10 ; formula ( 11 - 5 ) * 12 / 3 = 24", "correct", (3, 10, 5, 10)),
        ("3 11 5 12 ; formula 3 + 11 + 5 + 12 = 24", "wrong_value", (3, 11, 5, 12)),
        ("3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3 = 25", "wrong_value", (3, 11, 5, 12)),
        ("3 11 5 12 ; formula 12 + 12 = 24", "wrong_numbers", (3, 11, 5, 12)),
        ("3 10 5 10 ; formula 10 + 10 + 5 - 3 = 24", "id_rule_applied", (3, 10, 5, 10)),
        ("3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3", "unparsable", (3, 11, 5, 12)),
        ("3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3 = 24 24", "unparsable", (3, 11, 5, 12)),
        ("3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3 = = 24", "unparsable", (3, 11, 5, 12)),
        ("3 11 5 12 ; formula = 24", "unparsable", (3, 11, 5, 12)),
        ("3 11 5 12 formula ( 11 - 5 ) * 12 / 3 = 24", "unparsable", None),
        ("3 J 5 Q ; formula ( 11 - 5 ) * 12 / 3 = 24", "unparsable", None),
        ("; formula ( 11 - 5 ) * 12 / 3 = 24", "unparsable", None),
        ("<eos> 3 11 5 12 ; formula ( 11 - 5 ) * 12 / 3 = 24", "unparsable", None),
        ("", "unparsable", None),
    ],
)
def test_compact_responses(response: str, kind: str, recognised: tuple[int, ...] | None) -> None:
    verdict = grade(OOD, response)
    assert (verdict.kind, verdict.recognised) == (kind, recognised)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ('{"formula": "(11-5)*12/3"}', "correct"),
        ('{"formula": "(11-5)*12/3=24"}', "correct"),
        ('{"formula": "(11 - 5) × 12 ÷ 3 = 24"}', "correct"),
        ('Sure!\n```json\n{"number": [3, 11, 5, 12], "formula": "(11-5)*12/3"}\n```', "correct"),
        ('I use {J} = 11. {"formula": "(11-5)*12/3"}', "correct"),
        # the last object with the field counts
        ('{"formula": "3+5"} {"formula": "(11-5)*12/3"}', "correct"),
        ('{"formula": "(11-5)*12/3=20"}', "wrong_value"),
        ('{"formula": "10+10+5-3"}', "id_rule_applied"),
        ('{"formula": "(11-5)*12/3=24=24"}', "unparsable"),
        ('{"formula": 24}', "unparsable"),
        ('{"formula": ["(11-5)*12/3"]}', "unparsable"),
        ('{"number": [3, 11, 5, 12]}', "unparsable"),
        ("{'formula': '(11-5)*12/3'}", "unparsable"),
        ('["(11-5)*12/3"]', "unparsable"),
        ("(11-5)*12/3", "unparsable"),
    ],
)
def test_natural_responses(response: str, kind: str) -> None:
    assert grade(OOD, response, "natural").kind == kind


def test_the_recognised_numbers_of_a_natural_response() -> None:
    def recognised(number: object) -> tuple[int, ...] | None:
        response = json.dumps({"number": number, "formula": "1"})
        return grade(OOD, response, "natural").recognised

    assert recognised([3, 11, 5, 12]) == (3, 11, 5, 12)
    assert recognised(["3", "11", "5", "12"]) == (3, 11, 5, 12)
    for odd in ("3 11", [3, 1.5], [True, 1], [[3]], [-3], [], None, [10**9], {"a": 1}):
        assert recognised(odd) is None


def test_the_id_rule_is_not_blamed_where_it_is_right() -> None:
    in_distribution = Problem("x", "id", "train", OOD.cards, ID_RULE)
    assert grade(in_distribution, "3 ; formula 10 + 10 + 5 - 3 = 24").kind == "wrong_value"
    faceless = Problem("x", "ood_plain", "test", EIGHTS.cards, OOD_RULE)
    assert grade(faceless, "3 ; formula 8 + 8 + 3 + 3 = 24").kind == "wrong_value"


NASTY = {
    "nested brackets": "(" * 10_000 + "3" + ")" * 10_000,
    "open brackets": "(" * 10_000,
    "division by zero": "3 / ( 3 - 3 ) / 8 / 8",
    "unicode digits": "\u0668 / ( \u0663 - \u0668 / \u0663 )",
    "superscripts": "8\u00b2",
    "one megabyte of digits": "9" * 1_000_000,
    "one megabyte of sums": "1 + " * 250_000 + "1",
    "one megabyte of braces": "{" * 1_000_000,
    "one megabyte of objects": '{"a":' * 200_000,
    "one megabyte of lists": '{"formula":' + "[" * 1_000_000,
    "one megabyte of signs": "=" * 1_000_000,
    "one megabyte of separators": ";" * 1_000_000,
    "one megabyte of spaces": " " * 1_000_000,
    "lone surrogates and zeros": "\ud800\x00\udfff" * 1000,
    "powers": "9 ** 9 ** 9 ** 9",
    "products": "*".join(["99999999"] * 28),
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_hostile_text_is_graded_wrong_in_bounded_time(text: str) -> None:
    started = time.process_time()
    for response in (text, f"3 3 8 8 ; formula {text} = 24", f"{text} ; formula 1 = 24"):
        assert not grade(EIGHTS, response).correct
    for response in (text, json.dumps({"formula": text}), json.dumps({"number": text})):
        assert not grade(EIGHTS, response, "natural").correct
    assert time.process_time() - started < 1


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=400))
def test_any_text_gets_a_verdict(text: str) -> None:
    for style in ("compact", "natural"):
        assert grade(EIGHTS, text, style).kind is ErrorKind.UNPARSABLE


def test_the_longest_formula_that_is_read() -> None:
    longest = "1" + "+1" * ((MAX_FORMULA - 1) // 2)
    assert value(longest) == (MAX_FORMULA - 1) // 2 + 1
    with pytest.raises(FormulaError, match=f"expected at most {MAX_FORMULA}"):
        parse(longest + "+1+1")


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
        grade(OOD, "", "prose")
