# SPDX-License-Identifier: MIT
"""Copies of this checkout in which Snakemake runs: planned jobs, finished jobs, remaining files.

The tests' environment has the package installed from the original checkout. So a copy puts its own
`src` first on the path, which the scripts of jobs inherit. Rules digest and jobs execute the edited
code of the copy.
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
"""Seconds after which a test aborts a run; an idle machine needs one or two minutes."""
LOCAL_SNAKEMAKE: Final = "derotate.runs.local_executor"
"""The module that `derotate run` starts: Snakemake without the import of SLURM's plugin."""
SHARED_STUDIES: Final = "DEROTATE_TESTS_STUDIES"
"""Environment variable: a folder in which several calls of pytest share their finished studies.

It serves one state of the checkout, so .ci/run makes a new one each time.
"""
VOLATILE: Final = frozenset({"budget.csv"})
"""Tables with times, which differ between runs."""

JOB_STATS: Final = re.compile(r"^job +count\n[- ]+\n((?:\S+ +\d+\n)+)", re.MULTILINE)
FINISHED: Final = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)", re.MULTILINE)
RESULTS: Final = "results"
TIMESTAMP: Final = ".snakemake_timestamp"
"""File that holds Snakemake's time stamp of a directory."""
TARGET: Final = "all"
"""The rule that only lists the results; it is not counted."""


def copy_checkout(folder: Path) -> None:
    """Copy all tracked files, and new ones that git does not ignore, to an empty folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ORIGINAL, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        source, target = ORIGINAL / name, folder / name
        if source.is_file():  # a file may be deleted but still in the index
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
    """For a fixture: a clone of a folder with its time stamps, removed after the test."""
    clone = folder / "checkout"
    shutil.copytree(made, clone)
    yield clone
    shutil.rmtree(clone)


def environment(folder: Path) -> dict[str, str]:
    """Environment variables with which Python imports `derotate` from the copy."""
    return {**os.environ, "PYTHONPATH": str(folder / "src")}


def options(config: str) -> list[str]:
    """Snakemake's arguments for the study of a config, as make sets them."""
    # --configfile consumes all following words, so another option must precede the targets
    return ["--configfile", config, "--profile", "local", "--cores", "2"]


def snakemake(
    folder: Path, *arguments: str, config: str = COUNTED, module: str = LOCAL_SNAKEMAKE
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a copy; `stdout` holds all its output."""
    return subprocess.run(
        [sys.executable, "-m", module, *options(config), *arguments],
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
    """Jobs by rule that Snakemake plans; empty if there is nothing to do.

    Jobs behind a landmarks checkpoint that must be remade cannot be planned and are not included.
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
    """The jobs that Snakemake plans, with resources and outputs, and the imported modules."""
    done = subprocess.run(
        [sys.executable, str(ORIGINAL / "tests" / "workflow" / "planned.py"),
         "--cores", "2", *arguments],
        cwd=folder, env=environment(folder), timeout=PATIENCE, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return plan


def run(folder: Path, *arguments: str, config: str = COUNTED) -> dict[str, int]:
    """Run a study to its end by a plain `snakemake`; finished jobs by rule."""
    done = snakemake(folder, *arguments, config=config, module="snakemake")
    assert done.returncode == 0, done.stdout
    jobs = Counter(FINISHED.findall(done.stdout))
    del jobs[TARGET]
    return dict(jobs)


def tables(folder: Path) -> dict[str, str]:
    """SHA-256 of each CSV of a copy's study, by path; equal runs have equal ones."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / RESULTS).rglob("*.csv"))
        if path.name not in VOLATILE
    }


def leftovers(folder: Path) -> list[str]:
    """Files of interrupted writes: hidden files and folders, and parts."""
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
    """All result files of a copy except logs and benchmarks."""
    found = {path.relative_to(folder) for path in (folder / RESULTS).rglob("*") if path.is_file()}
    return {str(path) for path in found if not {"logs", "benchmarks"} & set(path.parts)}
