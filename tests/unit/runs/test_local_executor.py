# SPDX-License-Identifier: MIT
"""A run on one machine starts Snakemake without the plugin for SLURM, and only such a run does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from derotate.runs import local_executor

LOADED = """
import sys
from derotate.runs import local_executor
try:
    local_executor.main()
finally:
    print([name for name in ("snakemake_executor_plugin_slurm", "pandas") if name in sys.modules])
"""


def test_snakemake_starts_without_the_plugin_and_what_it_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "--version"], capture_output=True, text=True, check=True
    )
    version, loaded = done.stdout.splitlines()
    assert version.startswith("9.")
    assert loaded == "[]"


@pytest.mark.parametrize(
    ("arguments", "local"),
    [
        (["--profile", "local", "--cores", "2"], True),
        (["--profile", "local", "--cores", "2", "--executor", "slurm"], False),
        (["--profile", "local", "--executor=slurm"], False),
        (["--profile", "local", "--profile", "mine"], False),
        (["--profile", "slurm"], False),
        (["--cores", "2"], False),
    ],
)
def test_only_the_local_profile_alone_does_without(arguments: list[str], local: bool) -> None:
    assert local_executor.is_local(arguments) is local
