# SPDX-License-Identifier: MIT
"""`--sdm conda`: each rule in the environment of its concern, to the same tables, and back.

The environments are venvs (venv_conda.py) with what their files pin. Snakemake itself runs from a
venv with little more than its own packages, since a script finds those too: a package that a rule
uses and its environment does not declare is an error here.
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
"""Packages that Snakemake and the Snakefile import; none of them computes."""


@pytest.fixture
def conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conda on the path."""
    folder = venv_conda.install(tmp_path / "conda")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a venv in which Snakemake plans and starts jobs, but no rule could compute."""
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
    """Where Snakemake makes the environments, for all tests: each is made once."""
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def smoke(smoked: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of the finished smoke study."""
    yield from cloned(smoked, tmp_path)


def with_conda(python: Path, folder: Path, prefix: Path) -> subprocess.CompletedProcess[str]:
    """Run the smoke study with `--sdm conda`; all that Snakemake says is in `stdout`."""
    conda = ("--sdm", "conda", "--conda-prefix", str(prefix))
    return subprocess.run(
        [str(python), "-m", "snakemake", *options(SMOKE), *conda],
        cwd=folder, env=environment(folder), timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def environments(folder: Path, prefix: Path) -> set[str]:
    """Environment files of a copy of which Snakemake has made an environment."""
    made = {file.read_text() for file in prefix.glob("*.yaml")}
    return {file.stem for file in (folder / "envs").glob("*.yaml") if file.read_text() in made}


@pytest.mark.conda
@pytest.mark.slow
def test_each_rule_runs_in_its_environment_to_the_same_tables_and_back(
    conda: None, bare_python: Path, prefix: Path, fresh: Path, smoked: Path
) -> None:
    done = with_conda(bare_python, fresh, prefix)
    assert done.returncode == 0, done.stdout
    assert environments(fresh, prefix) == {"train", "analysis", "figures"}
    assert tables(fresh) == tables(smoked)
    assert dry_run(fresh, config=SMOKE) == {}


@pytest.mark.conda
@pytest.mark.slow
def test_a_package_that_is_used_but_not_declared_fails(
    conda: None, bare_python: Path, prefix: Path, smoke: Path
) -> None:
    # Snakemake makes the environments of finished jobs too, so this one comes after the test above
    for name in ("tables", "figures"):
        shutil.rmtree(smoke / "results" / "smoke" / name)
    pin = re.search(r"      - seaborn==\S+\n", (smoke / "envs" / "figures.yaml").read_text())
    assert pin is not None
    edit(smoke, "envs/figures.yaml", pin[0], "")
    done = with_conda(bare_python, smoke, prefix)
    assert done.returncode != 0
    assert "No module named 'seaborn'" in done.stdout


def test_moving_a_finished_study_to_conda_reruns_nothing(conda: None, study: Path) -> None:
    assert dry_run(study, "--sdm", "conda", config=COUNTED) == {}
