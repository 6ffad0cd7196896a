# SPDX-License-Identifier: MIT
"""A copy of this checkout in which Snakemake runs: what it plans, what it does, what it leaves.

The environment is the one that the tests run in, where the package is installed from the original
checkout. The copy's `src` therefore goes first on the path, which the scripts of jobs inherit: an
edit of the copy is what its rules digest and what its jobs execute.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock

ORIGINAL: Final = Path(__file__).resolve().parents[2]
COUNTED: Final = "tests/workflow/study.yaml"
"""The config of the study in which jobs are counted."""
SMOKE: Final = "config/smoke.yaml"
PATIENCE: Final = 3600.0
"""Seconds after which a test gives a run up; an idle machine needs one or two minutes."""
SHARED_STUDIES: Final = "DEROTATE_TESTS_STUDIES"
"""Environment variable: a folder in which several calls of pytest share their finished studies.

It serves one state of the checkout, so .ci/run makes a new one each time.
"""
VOLATILE: Final = frozenset({"budget.csv"})
"""Tables that hold times, which differ between runs."""

JOB_STATS: Final = re.compile(r"^job +count\n[- ]+\n((?:\S+ +\d+\n)+)", re.MULTILINE)
FINISHED: Final = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)", re.MULTILINE)
RESULTS: Final = "results"
TIMESTAMP: Final = ".snakemake_timestamp"
"""By which Snakemake dates directories."""
TARGET: Final = "all"
"""The rule that only names the results; it does nothing, so it is not counted."""


def copy_checkout(folder: Path) -> None:
    """Copy what git tracks, and what it would track, to an empty folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ORIGINAL, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        source, target = ORIGINAL / name, folder / name
        if source.is_file():  # not a file that is deleted but not yet committed so
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def finished_study(name: str, config: str, factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the study of a config has run.

    It is made once for all workers of pytest-xdist, or for all calls of pytest that share a folder
    (`SHARED_STUDIES`): the first process that needs it makes it, and the others wait.
    """
    base = factory.getbasetemp()
    run_folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    shared = Path(os.environ.get(SHARED_STUDIES, run_folder))
    folder = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not folder.is_dir():
            part = shared / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            copy_checkout(part)
            _require_own_package(part)
            run(part, config=config)
            os.replace(part, folder)
    return folder


def _require_own_package(folder: Path) -> None:
    """Fail unless Python imports `derotate` from the copy."""
    imported = subprocess.run(
        [sys.executable, "-c", "import derotate; print(derotate.__file__)"],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(imported.stdout.strip()).is_relative_to(folder)


def cloned(made: Path, folder: Path) -> Iterator[Path]:
    """For a fixture: a clone of what was made, dates included, dropped after the test."""
    clone = folder / "checkout"
    shutil.copytree(made, clone)
    yield clone
    shutil.rmtree(clone)


def environment(folder: Path) -> dict[str, str]:
    """The environment in which `derotate` is the copy's package."""
    return {**os.environ, "PYTHONPATH": str(folder / "src")}


def options(config: str) -> list[str]:
    """What make gives to Snakemake, for the study of a config file."""
    # --configfile takes all words that follow, so targets may only come behind another option
    return ["--configfile", config, "--profile", "local", "--cores", "2"]


def snakemake(
    folder: Path, *arguments: str, config: str = COUNTED
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a copy; all that it says is in `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *options(config), *arguments],
        cwd=folder, env=environment(folder), timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def derotate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of derotate in a copy."""
    return subprocess.run(
        [sys.executable, "-m", "derotate.cli", *arguments],
        cwd=folder, env=environment(folder), timeout=PATIENCE, capture_output=True, text=True,
    )  # fmt: skip


def dry_run(folder: Path, *arguments: str, config: str = COUNTED) -> dict[str, int]:
    """Jobs by rule that Snakemake plans; empty if nothing is to be done.

    What lies behind landmarks that are yet to be remade cannot be planned and is not in it.
    """
    done = snakemake(folder, "--dry-run", *arguments, config=config)
    assert done.returncode == 0, done.stdout
    if "Nothing to be done" in done.stdout:
        return {}
    *_, table = JOB_STATS.findall(done.stdout)
    jobs = {rule: int(count) for rule, count in map(str.split, table.splitlines())}
    assert jobs.pop("total") == sum(jobs.values())
    jobs.pop(TARGET, None)
    return jobs


def planned(folder: Path, *arguments: str) -> dict[str, Any]:
    """The jobs that Snakemake plans, with what they ask for and make, and the imported modules."""
    done = subprocess.run(
        [sys.executable, str(ORIGINAL / "tests" / "workflow" / "planned.py"),
         "--cores", "2", *arguments],
        cwd=folder, env=environment(folder), timeout=PATIENCE, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return plan


def run(folder: Path, *arguments: str, config: str = COUNTED) -> dict[str, int]:
    """Run a study to its end; jobs by rule that were done."""
    done = snakemake(folder, *arguments, config=config)
    assert done.returncode == 0, done.stdout
    jobs = Counter(FINISHED.findall(done.stdout))
    del jobs[TARGET]
    return dict(jobs)


def tables(folder: Path) -> dict[str, str]:
    """Digest of each CSV that a copy's study has made, by path: what equal runs have equal."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / RESULTS).rglob("*.csv"))
        if path.name not in VOLATILE
    }


def leftovers(folder: Path) -> list[str]:
    """What was being written when something ended it: hidden files and folders, and parts."""
    return [
        str(path.relative_to(folder))
        for path in sorted((folder / RESULTS).rglob("*"))
        if (path.name.startswith(".") and path.name != TIMESTAMP) or path.suffix == ".part"
    ]


def edit(folder: Path, file: str, old: str, new: str) -> None:
    """Replace a text that occurs exactly once in a file of the copy."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file}: {old!r} occurs {text.count(old)} times, expected once"
    path.write_text(text.replace(old, new), encoding="utf-8")


def files(folder: Path) -> set[str]:
    """All results of a copy but what jobs say of themselves: logs and benchmarks."""
    found = {path.relative_to(folder) for path in (folder / RESULTS).rglob("*") if path.is_file()}
    return {str(path) for path in found if not {"logs", "benchmarks"} & set(path.parts)}
