# SPDX-License-Identifier: MIT
"""The layout of the package: top-level modules and the direction of imports."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "derotate"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported(path: Path) -> Iterator[str]:
    """Modules of derotate that a file imports, at any depth, including those for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def folder(path: Path) -> str:
    """The package of a file; the name of the module for a top-level one."""
    inside = path.relative_to(PACKAGE).parent.as_posix()
    return inside if inside != "." else path.stem


def test_imports_between_packages_have_no_cycle() -> None:
    imports: dict[str, set[str]] = defaultdict(set)
    for path in MODULES.values():
        targets = {folder(MODULES[name]) for name in imported(path)}
        imports[folder(path)] |= targets - {folder(path)}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the cycle


def test_imports_between_modules_have_no_cycle() -> None:
    imports = {name: {*imported(path)} - {name} for name, path in MODULES.items()}
    TopologicalSorter(imports).prepare()


def test_the_command_line_is_the_only_top_level_module() -> None:
    beside = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert beside <= {"cli"}


def test_no_package_except_the_tasks_has_more_than_a_fifth_of_all_lines() -> None:
    lines: dict[str, int] = defaultdict(int)
    for path in MODULES.values():
        top = path.relative_to(PACKAGE).parts[0]
        lines[top] += len(path.read_text(encoding="utf-8").splitlines())
    largest = max((count, top) for top, count in lines.items() if top != "tasks")
    assert largest[0] <= sum(lines.values()) / 5, largest


def test_unit_tests_have_the_folders_of_the_package() -> None:
    packages = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    tests = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
    assert folders <= packages
