# SPDX-License-Identifier: MIT
"""A problem as typed on the command line."""

from derotate.tasks.general_points.problems import TARGET, Problem, Rule, rule_of

FORM = "cards, as in '3 3 8 K'"


def problem(text: str, rule: Rule | None = None, target: int = TARGET) -> Problem:
    """The problem of a hand.

    Args:
        text: the cards.
        rule: the numbers of J, Q and K; by default the ID rule.
        target: the value of a correct formula.

    Raises:
        ValueError: no cards, or an unknown card.
    """
    return Problem(
        name="by-hand",
        split="id",
        fold="test",
        cards=tuple(text.split()),
        rule=rule or rule_of("id"),
        target=target,
    )
