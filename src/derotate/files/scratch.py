# SPDX-License-Identifier: MIT
"""Folders for what is written aside before it is moved into place, which a kill cannot pile up.

Their names follow from what they are for, so that the job that is repeated after a kill finds and
removes what the killed one left.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target`, on the same file system; removed at the end.

    One process at a time may work on a target.
    """
    folder = scratch_folder(target)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_folder(target: Path) -> Path:
    """The folder that `scratch` gives for a target."""
    return target.with_name(f".{target.name}.scratch")
