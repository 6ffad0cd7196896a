# SPDX-License-Identifier: MIT
"""Pretraining texts of the tiny base: the skills of the game, without the game.

A pretrained language model brings arithmetic and reading of instructions to fine-tuning. The tiny
base learns the same from four kinds of texts: plain solving over all number sets, card mapping
under random rules, small arithmetic, and a trace of complete problems in the answer format. The
exact OOD rule (J, Q, K = 11, 12, 13) never occurs. Complete problems come from the folds `train`
and `trace`. The mixture is config and part of the data card.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Final

from derotate.tasks.general_points.problems import OOD_RULE, Problem, Rule, deal, fold_of
from derotate.tasks.general_points.prompts import compact_prompt, compact_response
from derotate.tasks.general_points.solver import solution_table
from derotate.tasks.mixture import Maker, draw_mixture
from derotate.tasks.samples import Sample

_VALUES = range(10, 14)
RULES: tuple[Rule, ...] = tuple(
    rule for rule in product(_VALUES, _VALUES, _VALUES) if rule != OOD_RULE
)
OTHER_TARGETS = tuple(target for target in range(10, 37) if target != 24)
SHARE_OF_24 = 0.9  # of plain solving; with others among them, the model must read the target
LARGEST_NUMBER = 36

WORDS: tuple[str, ...] = (
    *(str(number) for number in range(LARGEST_NUMBER + 1)),
    *"JQK",
    *"+-*/()=;",
    *("rule", "cards", "numbers", "formula", "solve", "target", "compute"),
    *("wrong", "value", "unreadable"),
)
"""The words of the compact language, in the order of their token ids."""


class _Plain:
    """`solve target 24 ; numbers 3 8 3 8 ; formula` over every solvable number set."""

    def __init__(self) -> None:
        self._tables = {target: _solvable(target) for target in (24, *OTHER_TARGETS)}

    def __call__(self, draw: random.Random) -> Sample:
        target = 24 if draw.random() < SHARE_OF_24 else draw.choice(OTHER_TARGETS)
        numbers, formula = draw.choice(self._tables[target])
        shown = " ".join(map(str, draw.sample(numbers, len(numbers))))
        return _text(f"solve target {target} ; numbers {shown} ; formula {formula} = {target}")


class _Whole:
    """A whole problem under a rule other than the OOD rule, from the `train` and `trace` folds."""

    def __init__(self) -> None:
        self._sets = [
            (numbers, formula)
            for numbers, formula in _solvable(24)
            if fold_of(numbers) in ("train", "trace")
        ]

    def __call__(self, draw: random.Random) -> Sample:
        while True:
            numbers, formula = draw.choice(self._sets)
            rule = draw.choice(RULES)
            if all(number <= 10 or number in rule for number in numbers):
                break
        problem = _problem(deal(numbers, rule, draw), rule)
        return _text(f"{compact_prompt(problem)} {compact_response(problem, formula)}")


def _mapping(draw: random.Random) -> Sample:
    """Cards to numbers under a random rule, cut before the formula: it must not teach to stop."""
    ranks = [*(str(rank) for rank in range(1, 11)), "J", "Q", "K"]
    problem = _problem(tuple(draw.choices(ranks, k=4)), draw.choice(RULES))
    numbers = " ".join(map(str, problem.numbers))
    return Sample("", f"{compact_prompt(problem)} {numbers}", ends=False)


def _arithmetic(draw: random.Random) -> Sample:
    """One operation on two numbers whose result is a number the language has."""
    while True:
        left, right, operator = draw.randint(0, 36), draw.randint(1, 13), draw.choice("+-*/")
        if operator == "/" and left % right:
            continue
        result = {
            "+": left + right,
            "-": left - right,
            "*": left * right,
            "/": left // right,
        }[operator]
        if 0 <= result <= LARGEST_NUMBER:
            return _text(f"compute {left} {operator} {right} = {result}")


def _text(text: str) -> Sample:
    return Sample("", text)


def _problem(cards: tuple[str, ...], rule: Rule) -> Problem:
    return Problem(name="", split="pretraining", fold="", cards=cards, rule=rule)


def _solvable(target: int) -> list[tuple[tuple[int, ...], str]]:
    return [
        (numbers, formula)
        for numbers, formula in solution_table(target).items()
        if formula is not None
    ]


_MAKERS: Final[Mapping[str, Callable[[], Maker]]] = MappingProxyType(
    {
        "plain": _Plain,
        "mapping": lambda: _mapping,
        "arithmetic": lambda: _arithmetic,
        "whole": _Whole,
    }
)


def samples(shares: Sequence[tuple[str, float]], seed: int, count: int) -> Iterator[Sample]:
    """`count` texts of the mixture without a prompt, see `mixture.draw_mixture`."""
    return draw_mixture(_MAKERS, shares, seed, count)
