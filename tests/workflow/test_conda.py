# SPDX-License-Identifier: MIT
"""`--sdm conda`: each rule runs in its own environment and makes the same tables.

The environments are venvs (venv_conda.py) with the pins of their files. Scripts also see the
packages of the Python that runs Snakemake. So Snakemake runs from a venv with few other packages: a
package that a rule uses but its environment does not declare is an error here.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import venv_conda
from checkout import (
    COUNTED,
    ORIGINAL,
    PATIENCE,
    SMOKE,
    cloned,
    dry_run,
    edit,
    environment,
    options,
    tables,
)

PLANNING = ("snakemake", "pydantic", "pyyaml", "psutil")
"""Packages that Snakemake and the Snakefile import while they plan."""


@pytest.fixture
def conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `conda` on PATH."""
    folder = venv_conda.install(tmp_path / "conda")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a venv that can run Snakemake, but no script of a rule."""
    pins = dict(
        line.split("==")
        for line in (ORIGINAL / "envs" / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    packages = [f"{name}=={pins[name]}" for name in PLANNING]
    python = venv_conda.make_venv(tmp_path_factory.mktemp("bare") / "venv", packages)
    # for the version that tables/origin.json names
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(ORIGINAL)]
    subprocess.run(command, check=True)
    return python


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the conda environments, shared by all tests."""
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def smoke(smoked: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of the finished smoke study."""
    yield from cloned(smoked, tmp_path)


def with_conda(python: Path, folder: Path, prefix: Path) -> subprocess.CompletedProcess[str]:
    """Run the smoke study with `--sdm conda`; `stdout` holds all output."""
    conda = ("--sdm", "conda", "--conda-prefix", str(prefix))
    return subprocess.run(
        [str(python), "-m", "snakemake", *options(SMOKE), *conda],
        cwd=folder, env=environment(folder), timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def environments(folder: Path, prefix: Path) -> set[str]:
    """Names of the environment files of a copy that Snakemake has created environments for."""
    made = {file.read_text() for file in prefix.glob("*.yaml")}
    return {file.stem for file in (folder / "envs").glob("*.yaml") if file.read_text() in made}


@pytest.mark.conda
@pytest.mark.slow
def test_each_rule_runs_in_its_environment_and_makes_the_same_tables(
    conda: None, bare_python: Path, prefix: Path, fresh: Path, smoked: Path
) -> None:
    done = with_conda(bare_python, fresh, prefix)
    assert done.returncode == 0, done.stdout
    assert environments(fresh, prefix) == {"train", "analysis", "figures"}
    assert tables(fresh) == tables(smoked)
    assert dry_run(fresh, config=SMOKE) == {}


@pytest.mark.conda
@pytest.mark.slow
def test_an_undeclared_package_fails(
    conda: None, bare_python: Path, prefix: Path, smoke: Path
) -> None:
    # Snakemake also creates the environments of finished jobs. The test above has created them.
    for name in ("tables", "figures"):
        shutil.rmtree(smoke / "results" / "smoke" / name)
    pin = re.search(r"      - seaborn==\S+\n", (smoke / "envs" / "figures.yaml").read_text())
    assert pin is not None
    edit(smoke, "envs/figures.yaml", pin[0], "")
    done = with_conda(bare_python, smoke, prefix)
    assert done.returncode != 0
    assert "No module named 'seaborn'" in done.stdout


def test_switching_a_finished_study_to_conda_reruns_nothing(conda: None, study: Path) -> None:
    assert dry_run(study, "--sdm", "conda", config=COUNTED) == {}
