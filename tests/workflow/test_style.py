# SPDX-License-Identifier: MIT
"""The workflow passes Snakemake's linter and formatter."""

import subprocess
import sys
from pathlib import Path

from checkout import ORIGINAL, snakemake


def test_the_linter_of_snakemake_finds_nothing(fresh: Path) -> None:
    done = snakemake(fresh, "--lint")
    assert done.returncode == 0, done.stdout


def test_the_rule_files_are_formatted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"],
        cwd=ORIGINAL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
