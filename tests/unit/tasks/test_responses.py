# SPDX-License-Identifier: MIT
"""The last complete answer of a response counts: what stands around it changes no verdict."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate import tasks
from derotate.tasks.responses import MAX_OBJECTS, MAX_RESPONSE, ascii_signs, last_answer

TASKS = ("general_points", "navigation", "determinant", "rank")
ANSWER_FIELDS = {"general_points": "formula", "navigation": "action", "determinant": "answer",
                 "rank": "answer"}  # fmt: skip
SIGNS = st.sampled_from(
    [*"{}[]\\", "{5}", "{3, 5}", "\uff02", "\uff3c", "\uff5b", "\u00d7", "\n", "a "]
)
REMARK = st.one_of(
    st.text(max_size=60).filter(lambda text: '"' not in text),
    st.lists(SIGNS, max_size=100).map("".join),
)
"""Prose; with a quotation mark, a brace could open an object around the answer."""
REASONING = st.one_of(
    REMARK,
    st.sampled_from(
        [
            "<think>The cards are {3, 5}.</think>",
            "Let me think: {not json}.",
            '{"note": "no answer yet"}',
            '```python\nx = {"a": 1}\n```\n',
            "{{{",
        ]
    ),
)
FENCES = (("", ""), ("```json\n", "\n```"), ("```", "```"), ("Answer: ", "."), ("\n\n", "\n"))


def problems(task: str) -> list[Any]:
    """Test problems of both rules."""
    part = tasks.load(task).problems
    found = [
        [each for each in part.generate(split, 1, 0) if each.fold == "test"][:40]
        for split in part.SPLITS[:2]
    ]
    return [problem for group in found for problem in group]


@pytest.fixture(scope="module", params=TASKS)
def known(request: pytest.FixtureRequest) -> tuple[Any, str, list[tuple[Any, str, str]]]:
    """A task, its answer's field, and problems with a right and a wrong natural response."""
    task = tasks.load(request.param)
    found = []
    every = problems(request.param)
    for problem in every:
        right = task.prompts.response(problem, "natural")
        others = (task.prompts.response(other, "natural") for other in every)
        wrong = next(
            text for text in others if not task.answers.grade(problem, text, "natural").correct
        )
        found.append((problem, right, wrong))
    return task, ANSWER_FIELDS[request.param], found


@settings(max_examples=150, deadline=None)
@given(data=st.data(), before=REASONING, after=REMARK, fence=st.sampled_from(FENCES))
def test_wrapping_changes_no_verdict(
    known: tuple[Any, str, list[tuple[Any, str, str]]],
    data: st.DataObject,
    before: str,
    after: str,
    fence: tuple[str, str],
) -> None:
    task, _, found = known
    problem, right, wrong = data.draw(st.sampled_from(found))
    for answer in (right, wrong):
        verdict = task.answers.grade(problem, answer, "natural")
        wrapped = f"{before}{fence[0]}{answer}{fence[1]}{after}"
        assert task.answers.grade(problem, wrapped, "natural") == verdict


@settings(max_examples=50, deadline=None)
@given(data=st.data(), between=REMARK)
def test_a_corrected_attempt_counts_and_a_spoilt_one_does_not(
    known: tuple[Any, str, list[tuple[Any, str, str]]], data: st.DataObject, between: str
) -> None:
    task, _, found = known
    problem, right, wrong = data.draw(st.sampled_from(found))
    assert task.answers.grade(problem, f"{wrong}{between}{right}", "natural").correct
    assert not task.answers.grade(problem, f"{right}{between}{wrong}", "natural").correct


def test_full_width_signs_in_another_field_change_no_verdict(
    known: tuple[Any, str, list[tuple[Any, str, str]]],
) -> None:
    task, _, found = known
    for problem, right, wrong in found:
        for answer in (right, wrong):
            noted = answer.rstrip()[:-1] + ', "note": "\uff02a\uff02 \uff3c \uff5b\uff5d"}'
            expected = task.answers.grade(problem, answer, "natural")
            assert task.answers.grade(problem, noted, "natural") == expected


@pytest.mark.parametrize("name", TASKS)
def test_full_width_signs_are_read_in_compact_answers(name: str) -> None:
    task = tasks.load(name)
    wide = {ord(sign): ord(sign) + 0xFEE0 for sign in "0123456789()+-*/=;"}
    for problem in problems(name):
        right = task.prompts.response(problem, "compact")
        expected = task.answers.grade(problem, right, "compact")
        assert expected.correct
        assert task.answers.grade(problem, right.translate(wide), "compact") == expected


def test_an_answer_cut_off_before_its_end_is_not_complete(
    known: tuple[Any, str, list[tuple[Any, str, str]]],
) -> None:
    task, _, found = known
    problem, right, wrong = found[0]
    assert task.answers.grade(problem, right[:-1], "natural").kind == "unparsable"
    assert task.answers.grade(problem, right + wrong[:-1], "natural").correct


def test_an_answer_may_stand_in_an_object_that_has_none_of_its_own(
    known: tuple[Any, str, list[tuple[Any, str, str]]],
) -> None:
    task, field, found = known
    problem, right, wrong = found[0]
    assert task.answers.grade(problem, f'{{"result": {right}}}', "natural").correct
    inside = f'{{"{field}": null, "draft": {right}}}'
    assert task.answers.grade(problem, inside, "natural").kind == "unparsable"
    assert not task.answers.grade(problem, f"{right} {wrong}", "natural").correct


@pytest.mark.parametrize(
    ("unicode", "ascii_text"),
    [
        ("3 \u00d7 4", "3 * 4"),
        ("3 \u00b7 4 \u22c5 5", "3 * 4 * 5"),
        ("8 \u00f7 2 \u2215 2 \u2044 2", "8 / 2 / 2 / 2"),
        ("5 \u2212 3 \u2013 1", "5 - 3 - 1"),
        ("\uff08\uff13\uff0b\uff15\uff09\uff1d\uff18", "(3+5)=8"),
        ("3\u00a0+\u20094", "3 + 4"),
        ("3\u00b2 \u00bd \u0663", "3\u00b2 \u00bd \u0663"),
    ],
)
def test_unicode_operators_are_read_as_ascii_ones(unicode: str, ascii_text: str) -> None:
    assert ascii_signs(unicode) == ascii_text


@pytest.mark.parametrize("task", ["determinant", "rank"])
def test_a_minus_of_any_kind_is_a_minus(task: str) -> None:
    read = tasks.load(task).answers.read
    for minus in "-\u2212\u2013\uff0d":
        assert read(f'{{"answer": "{minus}3"}}', "natural").answer == -3  # type: ignore[attr-defined]
        assert read(f"answer {minus}3", "compact").answer == -3  # type: ignore[attr-defined]


HOSTILE = {
    "braces": "{" * 1_000_000,
    "braces and blanks": ("{" + " " * 100) * 10_000,
    "one brace and blanks": "{" + " " * 1_000_000,
    "unclosed strings": '{"' * 500_000,
    "objects": '{"answer":' * 100_000,
    "closed objects": '{"a": 1}' * 100_000,
    "a long list": '{"a": [' + "1, " * 400_000,
    "lists": '{"answer":' + "[" * 1_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    assert last_answer(text, "answer") is None
    assert time.process_time() - started < 1


def test_only_the_end_of_a_very_long_response_is_read() -> None:
    answer = '{"answer": 1}'
    assert last_answer("x" * 10 * MAX_RESPONSE + answer, "answer") == {"answer": 1}
    assert last_answer(answer + "x" * MAX_RESPONSE, "answer") is None
    assert last_answer(answer + "{" * 1000, "answer") == {"answer": 1}
    assert last_answer(answer + '{"' * (MAX_OBJECTS - 1), "answer") == {"answer": 1}
