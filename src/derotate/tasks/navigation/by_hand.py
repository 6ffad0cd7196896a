# SPDX-License-Identifier: MIT
"""A problem as typed on the command line."""

import re
from typing import Final

from derotate.tasks.navigation.problems import Problem, steps_of

FORM = "the name of a step in a table of problems, as in 'ood-n0001-4-3of7'"
_NAME: Final = re.compile(r"(?P<split>[a-z_]+)-(?P<network>n\d+)-(?P<number>\d+)-\d+of\d+")


def problem(text: str) -> Problem:
    """The step of that name; a route is too long to type.

    Raises:
        ValueError: no such step.
    """
    parts = _NAME.fullmatch(text)
    if parts is not None:
        try:
            steps = steps_of(parts["split"], parts["network"], int(parts["number"]))
        except IndexError:
            steps = []
        for step in steps:
            if step.name == text:
                return step
    raise ValueError(f"problem {text!r}: no such step, expected {FORM}; correct it")
