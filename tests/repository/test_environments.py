# SPDX-License-Identifier: MIT
"""The lock, the direct requirements, the conda environments and the imports agree."""

import ast
import importlib.metadata
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from derotate.evaluation.engines import ENVIRONMENTS
from derotate.study.provenance import ROOT as PACKAGE
from derotate.study.provenance import imported_modules

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
ENVS = ROOT / "envs"
LOCK = (ENVS / "requirements.lock").read_text(encoding="utf-8").splitlines()
PINS = dict(line.split("==") for line in LOCK if not line.startswith("#"))
TOOL = runpy.run_path(str(ENVS / "lock.py"))
DIRECT = TOOL["direct_requirements"]((ENVS / "requirements.in").read_text(encoding="utf-8"))
DISTRIBUTIONS = importlib.metadata.packages_distributions()
CONDA = sorted(ENVS.glob("*.yaml"))
# vLLM is not in the lock and needs an older numpy
APART = {"vllm": {"vllm", "numpy"}}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    Requirement(line).name for extra in PROJECT["optional-dependencies"].values() for line in extra
}
CODE = [
    path
    for folder in ("src", "workflow/scripts", "tests", "envs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_the_lock_pins_what_is_installed_for_the_direct_requirements() -> None:
    assert [line for line in LOCK if not line.startswith("#")] == TOOL["pins"](DIRECT), "make lock"


def test_the_lock_pins_plain_releases_that_every_index_has() -> None:
    assert list(PINS) == sorted(PINS)
    assert [name for name in PINS if name != canonicalize_name(name)] == []
    assert [pin for pin in PINS.values() if Version(pin).local or str(Version(pin)) != pin] == []


def test_the_lock_supports_the_python_versions_of_the_package() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(9, 16) if f"3.{minor}" in supported] == [11, 12, 13]
    refusing = [
        name
        for name in PINS
        for minor in (11, 12, 13)
        if f"3.{minor}.0"
        not in SpecifierSet(importlib.metadata.metadata(name).get("Requires-Python") or "")
    ]
    assert refusing == []


@pytest.mark.parametrize("file", CONDA, ids=lambda file: file.stem)
def test_a_conda_environment_has_the_pins_of_the_lock_and_one_python(file: Path) -> None:
    environment = yaml.safe_load(file.read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, pip, packages = environment["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    pinned = dict(package.split("==") for package in packages["pip"])
    locked = {name: pin for name, pin in pinned.items() if name not in APART.get(file.stem, ())}
    assert locked == {name: PINS[name] for name in locked}
    assert list(pinned) == sorted(pinned)
    assert file.with_suffix(".post-deploy.sh").is_file()


def pip_packages(environment: str) -> set[str]:
    packages = yaml.safe_load((ENVS / f"{environment}.yaml").read_text())["dependencies"][2]["pip"]
    return set(packages)


def test_the_environment_of_vllm_is_that_of_training_plus_vllm_and_its_numpy() -> None:
    (extra,) = PROJECT["optional-dependencies"]["vllm"]
    added, dropped = (
        pip_packages("vllm") - pip_packages("train"),
        pip_packages("train") - pip_packages("vllm"),
    )
    assert added - {extra} == {next(package for package in added if package.startswith("numpy=="))}
    assert dropped == {f"numpy=={PINS['numpy']}"}


def third_party_imports(path: Path) -> set[str]:
    """Top-level names of third-party modules that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    nearby = TESTS.rglob("*.py") if path.is_relative_to(TESTS) else path.parent.glob("*.py")
    neighbours = {file.stem for file in nearby}
    return names - set(sys.stdlib_module_names) - neighbours - {"derotate"}


RULE = re.compile(r"^(?= *(?:use rule|rule|checkpoint)\b)", re.MULTILINE)
ENVIRONMENT = re.compile(r'^    +f?"../../envs/(.+)\.yaml"$', re.MULTILINE)
SCRIPT = re.compile(r'^    +"../scripts/(\w+)\.py"$', re.MULTILINE)
MADE_FROM = re.compile(r"use rule (\w+) as")
OF_ENGINE = "{engines.ENVIRONMENTS["
"""Prefix of an environment that depends on the config."""
# packages that pandas imports on demand
ON_DEMAND = {".to_markdown(": "tabulate", "_parquet(": "pyarrow"}
TASK = [
    f"derotate.tasks.general_points.{part.stem}"
    for part in sorted((PACKAGE / "tasks" / "general_points").glob("[!_]*.py"))
]


def scripts_by_environment() -> dict[str, set[str]]:
    """Scripts that the rules run in each conda environment."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        rules = RULE.split(file.read_text(encoding="utf-8"))
        for rule in rules:
            named, script = ENVIRONMENT.search(rule), SCRIPT.search(rule)
            if not named:
                continue  # inherits the environment of another rule
            if not script:
                made_from = MADE_FROM.match(rule.strip())
                assert made_from, rule
                (base,) = (other for other in rules if other.startswith(f"rule {made_from[1]}:"))
                script = SCRIPT.search(base)
            assert script, rule
            for name in ENVIRONMENTS.values() if named[1].startswith(OF_ENGINE) else [named[1]]:
                found.setdefault(name, set()).add(script[1])
    return found


def executed(path: Path) -> ast.Module:
    """The syntax tree of a file without imports for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def imported(tree: ast.Module) -> set[str]:
    """Absolute names that a file imports, at any depth."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_file(name: str) -> Path | None:
    """The file of a module of the package; None if there is no such module."""
    stem = PACKAGE.joinpath(*name.split(".")[1:])
    return next((file for file in (stem.with_suffix(".py"), stem / "__init__.py")
                 if file.is_file()), None)  # fmt: skip


def packages_needed(script: str, environment: str) -> set[str]:
    """Import names of the third-party packages that a rule's script can execute there."""
    start = executed(ROOT / "workflow" / "scripts" / f"{script}.py")
    own = {name for name in imported(start) if name.startswith("derotate") and module_file(name)}
    engines = [f"derotate.evaluation.engines.{name}" for name, its in ENVIRONMENTS.items()
               if its == environment]  # fmt: skip
    files = [module_file(name) for name in imported_modules(PACKAGE, [*own, *TASK, *engines])]
    trees = [start, *(executed(file) for file in files if file)]
    names = {name.split(".")[0] for tree in trees for name in imported(tree)}
    code = "".join(ast.unparse(tree) for tree in trees)
    names |= {package for call, package in ON_DEMAND.items() if call in code}
    return names - set(sys.stdlib_module_names) - {"derotate", "snakemake"}


def distributions_of(name: str) -> set[str]:
    """Distributions that provide an import name; extras need not be installed."""
    found = DISTRIBUTIONS.get(name, ())
    return {canonicalize_name(each) for each in found} | ({name} & EXTRAS)


@pytest.mark.parametrize("file", CONDA, ids=lambda file: file.stem)
def test_a_conda_environment_declares_what_its_rules_import(file: Path) -> None:
    # Snakemake appends its own packages to a script's path. A package that is missing here may be
    # found there, in an arbitrary version.
    declared = dict(
        package.split("==")
        for package in yaml.safe_load(file.read_text())["dependencies"][2]["pip"]
    )
    missing = {
        f"{script}: {name}"
        for script in scripts_by_environment()[file.stem]
        for name in packages_needed(script, file.stem)
        if not distributions_of(name) & set(declared)
    }
    assert sorted(missing) == [], f"add to {file.name}"


def test_every_import_is_a_direct_requirement() -> None:
    direct = {canonicalize_name(requirement.name) for requirement in DIRECT} | EXTRAS
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in CODE
        for name in third_party_imports(path)
        if not direct & distributions_of(name)
    }
    assert sorted(missing) == [], "add to envs/requirements.in, then `make lock`"


def test_requirements_are_plain_names_since_only_the_lock_has_versions() -> None:
    assert [str(line) for line in DIRECT if line != Requirement(line.name)] == []
