# SPDX-License-Identifier: MIT
"""Atomic writes: a file or folder appears under its name when it is complete, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `path` to write a file or folder to; it replaces `path` if the block succeeds.

    The temporary name follows from the target's, so a job that is repeated after a kill overwrites
    what the killed one left.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    _remove(part)
    try:
        yield part
        os.replace(part, target)
    finally:
        _remove(part)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file atomically: UTF-8, line ends as given."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
