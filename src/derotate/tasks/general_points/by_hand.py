# SPDX-License-Identifier: MIT
"""A problem as a person writes it on the command line."""

from derotate.tasks.general_points.problems import TARGET, Problem, Rule, rule_of

FORM = "cards, as in '3 3 8 K'"


def problem(text: str, rule: Rule | None = None, target: int = TARGET) -> Problem:
    """The problem of a hand.

    Args:
        text: the cards.
        rule: what J, Q and K stand for; None takes the ID rule.
        target: what the formula shall be worth.

    Raises:
        ValueError: no cards, or one that there is not.
    """
    return Problem(
        name="by-hand",
        split="id",
        fold="test",
        cards=tuple(text.split()),
        rule=rule or rule_of("id"),
        target=target,
    )
