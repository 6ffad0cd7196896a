# SPDX-License-Identifier: MIT
"""Digests of the code and of the lock file that produced a result.

Snakemake's `code` trigger sees a rule's script, not the modules that the script imports: an edit of
the library would leave stale results unnoticed. So each rule carries, as a param, a digest of the
modules it calls and of all that they import from this package. The digest follows the tokens that
Python executes: comments, docstrings, blank lines and layout do not count, since Snakemake has no
early cut-off and would rerun everything after a changed comment. What is imported by a computed
name (`importlib.import_module`) is not followed: a rule names such modules itself.

Nothing is imported to be digested: Snakemake plans in each of its processes, and torch is slow to
import.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from derotate.study.source_lines import Line, logical_lines

PACKAGE: Final = "derotate"
ROOT: Final = Path(__file__).resolve().parents[1]
DIGEST_LENGTH: Final = 16
"""Hex digits kept, 64 bits: enough to tell the versions of one project apart, short in a table."""

FROM_IMPORT: Final = re.compile(
    r"(?:^|(?<=[:;]))from\s?(\.*)([\w.]*?)\s?import(?!\w)\s?\(?([\w\s,*]*)"
)
PLAIN_IMPORT: Final = re.compile(r"(?:^|(?<=[:;]))import ([\w\s.,]*)")
TYPE_CHECKING_BLOCK: Final = re.compile(r"if (?:\w+\.)?TYPE_CHECKING:")


class ProvenanceError(ValueError):
    """A module or lock file that cannot be hashed; the message is one line."""


def code_digest(*modules: str) -> str:
    """Digest of modules, of their transitive imports from this package and of its data files.

    Imports count at any depth (also inside functions), except under `if TYPE_CHECKING:`. Importing
    `derotate.a.b` counts `derotate.a` too, since Python executes it. Files other than Python beside
    a counted module of a subpackage count with their bytes.

    Args:
        modules: absolute names, e.g. `derotate.tasks.general_points.rewards`; order is irrelevant.

    Returns:
        16 hex digits.

    Raises:
        ProvenanceError: no such module, or a relative import, which is refused.
    """
    return _code_digest(ROOT, frozenset(modules))


def lock_digest(path: Path | None = None) -> str:
    """Digest of the pins in a lock file; comments, blank lines and order do not count.

    Args:
        path: the file, by default `envs/requirements.lock` of this checkout.

    Returns:
        16 hex digits.

    Raises:
        ProvenanceError: no such file.
    """
    path = path or ROOT.parents[1] / "envs" / "requirements.lock"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProvenanceError(
            f"{path}: no such lock file; work in a checkout, where envs/requirements.lock is"
        ) from None
    pins = {line.partition("#")[0].strip() for line in text.splitlines()}
    return _digest(pin.encode() for pin in sorted(pins - {""}))


def value_digest(value: Any) -> str:
    """Digest of a value that JSON can write, e.g. a config; the order of keys does not count.

    Returns:
        16 hex digits.
    """
    return _digest([json.dumps(value, sort_keys=True).encode()])


def imported_modules(root: Path, modules: Iterable[str]) -> tuple[str, ...]:
    """The given modules and all first-party modules that importing them can execute, sorted.

    Args:
        root: folder of the package.
        modules: absolute module names.
    """
    todo = sorted(modules)
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        todo += [*_source(root, name).imports, *([parent] if parent else [])]
    return tuple(sorted(seen))


@cache
def _code_digest(root: Path, modules: frozenset[str]) -> str:
    names = imported_modules(root, modules)
    folders = {_path(root, name).parent for name in names} - {root}
    files = sorted(file for folder in folders for file in _data_files(folder))
    code = (part.encode() for name in names for part in (name, *_source(root, name).code))
    names_of_data = (file.relative_to(root).as_posix().encode() for file in files)
    return _digest(chain(code, names_of_data, (file.read_bytes() for file in files)))


class _Source(NamedTuple):
    """The part of one module that is hashed: executed lines with depth, first-party imports."""

    code: tuple[str, ...]
    imports: frozenset[str]


@cache
def _source(root: Path, name: str) -> _Source:
    lines = tuple(_executed(logical_lines(_path(root, name).read_text(encoding="utf-8"))))
    return _Source(
        code=tuple(f"{line.depth} {line.text}" for line in lines),
        imports=frozenset(module for line in lines for module in _imports(root, name, line.text)),
    )


def _path(root: Path, name: str) -> Path:
    """File of a module: its own `.py`, or the `__init__.py` of a package."""
    package, *parts = name.split(".")
    stem = root.joinpath(*parts)
    if package == PACKAGE:
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                return path
    raise ProvenanceError(f"{name}: no such module of {PACKAGE}; correct the name")


def _data_files(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        hidden = file.name.startswith((".", "__pycache__"))
        if file.is_file() and not hidden and file.suffix not in {".py", ".pyc"}:
            yield file


def _executed(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines without the blocks under `if TYPE_CHECKING:`."""
    skipped_depth: int | None = None
    for line in lines:
        if skipped_depth is not None and line.depth > skipped_depth:
            continue
        skipped_depth = line.depth if TYPE_CHECKING_BLOCK.match(line.text) else None
        if skipped_depth is None:
            yield line


def _imports(root: Path, name: str, line: str) -> Iterator[str]:
    """First-party modules that a logical line of module `name` imports."""
    if "import" not in line:
        return
    for match in FROM_IMPORT.finditer(line):
        dots, module, names = match.groups()
        if dots:
            raise ProvenanceError(
                f"{name}: relative import {match[0]!r}; write it as from {PACKAGE}... import"
            )
        if _is_first_party(module):
            yield module
            members = (part.partition(" ")[0] for part in names.split(",") if part)
            yield from (f"{module}.{member}" for member in members
                        if _is_module(root, f"{module}.{member}"))  # fmt: skip
    for match in PLAIN_IMPORT.finditer(line):
        modules = (part.partition(" ")[0] for part in match[1].split(","))
        yield from (module for module in modules if _is_first_party(module))


def _is_first_party(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _is_module(root: Path, name: str) -> bool:
    """Whether `from package import name` names a module, not something defined in the package."""
    stem = root.joinpath(*name.split(".")[1:])
    return stem.with_suffix(".py").is_file() or (stem / "__init__.py").is_file()


def _digest(parts: Iterable[bytes]) -> str:
    """Digest of byte strings; lengths are hashed too, so that boundaries are unambiguous."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:DIGEST_LENGTH]
