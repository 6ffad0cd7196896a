# SPDX-License-Identifier: MIT
"""Errors about the input: one line on stderr and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

BAD_INPUT: Final = 2


@contextmanager
def one_line(*errors: type[Exception], code: int = BAD_INPUT) -> Iterator[None]:
    """Print these errors as one line on stderr and exit with `code`."""
    try:
        yield
    except errors as error:
        typer.echo(f"derotate: {error}", err=True)
        raise typer.Exit(code) from None
