# SPDX-License-Identifier: MIT
"""How commands refuse bad input: one line on stderr and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

BAD_INPUT: Final = 2


@contextmanager
def one_line(*errors: type[Exception], code: int = BAD_INPUT) -> Iterator[None]:
    """Turn errors about the input into their message on stderr and an exit code."""
    try:
        yield
    except errors as error:
        typer.echo(f"derotate: {error}", err=True)
        raise typer.Exit(code) from None
