# SPDX-License-Identifier: MIT
"""Python source as logical lines without comments, docstrings and layout.

The standard `tokenize` is exact but takes 4 ms for a module of 130 lines, too slow for code that
runs each time Snakemake plans. This does the same for source that Python accepts, with a handful of
regular expressions over the whole text; a test compares the two on every module of the package.
It relies on the grammar of Python 3.11, where a string cannot hold its own quotes (3.12 allows them
within the braces of an f-string).
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

STRING_OR_COMMENT: Final = re.compile(
    r'("""(?:[^\\]|\\.)*?"""'
    r"|'''(?:[^\\]|\\.)*?'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*')"
    r"|#[^\n]*",
    re.DOTALL,
)
PLACEHOLDER: Final = re.compile(r'"(\d+)"')
"""A string while lines are told apart: its index in double quotes, which code no longer has."""

DOCSTRING: Final = re.compile(r'[rRuU]?"\d+"(?:\s*[rRuU]?"\d+")*')
LOOSE_SPACE: Final = re.compile(r"(?<!\w)\s+|\s+(?![\w\s])")
"""Space that separates nothing: all of it, save one between two words."""


class Line(NamedTuple):
    """A logical line: the depth of its indentation (0 at the top level) and its text."""

    depth: int
    text: str


def logical_lines(source: str) -> Iterator[Line]:
    """The lines that Python executes, one for each statement or header of a block.

    A line in brackets is joined; spaces stay only where two words need them; comments, blank lines
    and statements that are nothing but a string are left out.

    Args:
        source: a module that Python's grammar accepts; anything else gives lines without meaning.
    """
    strings: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        if match[1] is None:
            return ""
        strings.append(match[1])
        return f'"{len(strings) - 1}"'

    code = STRING_OR_COMMENT.sub(put_aside, source).replace("\\\n", " ")
    indents = [0]
    for line in _joined(code):
        text = line.strip()
        if DOCSTRING.fullmatch(text):
            continue
        indent = len(line) - len(line.lstrip())
        while indent < indents[-1]:
            indents.pop()
        if indent > indents[-1]:
            indents.append(indent)
        text = LOOSE_SPACE.sub("", text)
        if '"' in text:
            text = PLACEHOLDER.sub(lambda match: strings[int(match[1])], text)
        yield Line(len(indents) - 1, text)


def _joined(code: str) -> Iterator[str]:
    """Physical lines, joined within brackets; blank ones left out."""
    pending: list[str] = []
    depth = 0
    for line in code.split("\n"):
        if not line or line.isspace():
            continue
        pending.append(line)
        depth += line.count("(") + line.count("[") + line.count("{")
        depth -= line.count(")") + line.count("]") + line.count("}")
        if depth <= 0:
            yield " ".join(pending) if len(pending) > 1 else line
            pending, depth = [], 0
