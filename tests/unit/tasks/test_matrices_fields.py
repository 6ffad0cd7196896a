# SPDX-License-Identifier: MIT
"""A number is an answer in its field and nowhere else, whatever a model writes."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.tasks.matrices.fields import read_field
from derotate.tasks.responses import MAX_RESPONSE


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("8 - -3 = 11 ; answer 11", 11),
        ("8 - -3 = 11 ; answer 11 <eos> <pad> answer 3", 11),
        ("answer -7", -7),
        ("answer\t0\n", 0),
        # right, but not in the field
        ("11", None),
        ("8 - -3 = 11", None),
        ("8 - -3 = 11 ; answer", None),
        ("8 - -3 = 11 ; answer <eos> 11", None),
        ("Answer 11", None),
        ("answer11", None),
        # more than one whole number
        ("answer 11 12", None),
        ("answer 11 answer 11", None),
        ("answer 11 ; answer 12", None),
        ("answer - 7", None),
        ("answer 11.0", None),
        ("answer 22/2", None),
        ("answer 1e1", None),
        ("answer 0x1", None),
        ("answer 1_1", None),
        ("answer \u0661\u0661", None),
        ("answer 1111111", None),
        ("antwort 11", None),
        ("", None),
    ],
)
def test_compact(response: str, answer: int | None) -> None:
    assert read_field(response, "compact").answer == answer


def test_the_steps_are_the_words_before_the_field() -> None:
    assert read_field("a b ; answer 1", "compact").steps == ("a", "b", ";")
    assert read_field("a b", "compact").steps == ("a", "b")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ('{"answer": 11}', 11),
        ('{"answer": -7}', -7),
        ('{"answer": "-7"}', -7),
        ('{"answer": " \u22127 "}', -7),
        ('Sure!\n```json\n{"steps": "8 + 3", "answer": 11}\n```', 11),
        ('The rows {a} and {b} give {"answer": 11}', 11),
        # the last object with the field counts
        ('{"answer": 10} {"answer": 11}', 11),
        ('{"det": 11} {"answer": 11}', 11),
        ('{"answer": 10, "answer": 11}', None),
        ('{"answer": [11]}', None),
        ('{"answer": {"answer": 11}}', None),
        ('{"det": {"answer": 11}}', 11),
        ('{"answer": 11.0}', None),
        ('{"answer": "11.9"}', None),
        ('{"answer": "it is 11"}', None),
        ('{"answer": true}', None),
        ('{"answer": null}', None),
        ('{"answer": 1000000}', None),
        ('{"Answer": 11}', None),
        ('{"antwort": 11}', None),
        ('["answer", 11]', None),
        ("{'answer': 11}", None),
        ('"answer": 11', None),
        ("The answer is 11.", None),
        ("11", None),
        ("", None),
    ],
)
def test_natural(response: str, answer: int | None) -> None:
    assert read_field(response, "natural").answer == answer


@given(st.integers(-999_999, 999_999))
def test_every_short_whole_number_is_read(number: int) -> None:
    assert read_field(f"1 = 1 ; answer {number}", "compact").answer == number
    assert read_field(json.dumps({"answer": number}), "natural").answer == number
    assert read_field(json.dumps({"answer": str(number)}), "natural").answer == number


HOSTILE = {
    "one megabyte of digits": "9" * 1_000_000,
    "one megabyte of answers": "answer 1 " * 110_000,
    "one megabyte of braces": "{" * 1_000_000,
    "one megabyte of objects": '{"answer":' * 100_000,
    "one megabyte of lists": '{"answer":' + "[" * 1_000_000,
    "one megabyte of spaces": " " * 1_000_000,
    "lone surrogates and zeros": "\ud800\x00\udfff" * 1000,
    "the answer too early": 'answer: 1 {"answer": 1}' + " x" * MAX_RESPONSE,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_has_no_answer_and_takes_bounded_time(text: str) -> None:
    started = time.process_time()
    for response in (text, f"answer {text}", json.dumps({"answer": text})):
        for style in ("compact", "natural"):
            assert read_field(response, style).answer is None
    assert time.process_time() - started < 1


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_characters="a{"), max_size=300))
def test_a_text_without_a_field_has_no_answer(text: str) -> None:
    for style in ("compact", "natural"):
        assert read_field(text, style).answer is None


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style 'prose': expected one of compact, natural"):
        read_field("", "prose")
