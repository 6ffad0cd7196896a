# SPDX-License-Identifier: MIT
"""Pack the results of a study into one file without weights.

An archive is a `.tar.gz`. Its first member, `STUDY/manifest.json`, lists the others in order with
size and SHA-256; `derotate restore` trusts only this list. Members are the inputs of tables,
figures and verdicts (evaluation rows, spectra, diagnostics, RL logs, landmarks, edit reports), the
tables, figures and pages themselves, and the logs, benchmarks, config, origin and environment. The
same files give the same bytes: names are sorted; times, owners and modes are fixed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from derotate.files.atomic import atomic_write
from derotate.study import record

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
KINDS: Final = frozenset(
    {".csv", ".parquet", ".json", ".md", ".html", ".png", ".pdf", ".log", ".tsv", ".yaml"}
)
"""Suffixes of archived files. Samples (`.jsonl`), weights, factors and training states have
others."""
KINDS_BESIDE_WEIGHTS: Final = frozenset({".csv"})
"""Suffixes of archived files in the folder of a checkpoint: its training log. The JSON files there
are useless without the weights."""


class ArchiveError(ValueError):
    """A study that cannot be packed, or an invalid archive; one line."""


@dataclass(frozen=True)
class Member:
    """A file of a study: its path below the study's folder, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Packed:
    """An archive and the files that it leaves out; sizes in bytes."""

    file: Path
    sha256: str
    size: int
    members: tuple[Member, ...]
    excluded_files: int
    excluded_size: int


def pack(folder: Path, out: Path | None = None) -> Packed:
    """Write the archive of the study in `folder`.

    Args:
        folder: of a study that has run, e.g. `results/demo`.
        out: the file; by default `STUDY.tar.gz` beside the folder.

    Raises:
        ConfigError: the folder holds no study.
        ArchiveError: a run changed a file while it was packed.
        OSError: the file cannot be written.
    """
    study = record.read(folder).study
    included, excluded = divide(folder)
    out = out or folder.parent / f"{study}.tar.gz"
    members = tuple(
        Member(path, file.stat().st_size, sha256(file)) for path, file in sorted(included.items())
    )
    with atomic_write(out) as part:
        with (
            part.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            text = manifest_text(study, members)
            tar.addfile(_header(f"{study}/{MANIFEST}", len(text)), io.BytesIO(text))
            for member in members:
                with included[member.path].open("rb") as content:
                    _add(tar, study, member, content)
        digest, size = sha256(part), part.stat().st_size
    excluded_size = sum(file.stat().st_size for file in excluded)
    return Packed(out, digest, size, members, len(excluded), excluded_size)


def divide(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Files of a study that the archive includes, by path below `folder`, and all other files.

    Hidden files are in neither: partial writes, and Snakemake's timestamps of directories.
    """
    included: dict[str, Path] = {}
    excluded: list[Path] = []
    # links are followed: a study may keep its folders on another disk
    for parent, _, names in os.walk(folder, followlinks=True):
        weights = any(name.startswith("model") and name.endswith(".safetensors") for name in names)
        kinds = KINDS_BESIDE_WEIGHTS if weights else KINDS
        for file in (Path(parent, name) for name in names if not name.startswith(".")):
            if file.suffix in kinds:
                included[file.relative_to(folder).as_posix()] = file
            else:
                excluded.append(file)
    return included, excluded


def manifest_text(study: str, members: tuple[Member, ...]) -> bytes:
    """The manifest as JSON: format, study, and path, bytes and SHA-256 of each member."""
    values = {
        "format": FORMAT,
        "study": study,
        "members": [
            {"path": member.path, "bytes": member.size, "sha256": member.sha256}
            for member in members
        ],
    }
    return (json.dumps(values, indent=1) + "\n").encode()


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, study: str, member: Member, content: IO[bytes]) -> None:
    """Add a file, checked against its entry in the manifest."""
    checked = _Hashed(content)
    try:
        tar.addfile(_header(f"{study}/{member.path}", member.size), checked)
        changed = checked.sha256() != member.sha256 or bool(content.read(1))
    except OSError as error:
        if (
            error.errno is not None
        ):  # a disk error; tarfile's own error about a short file has no errno
            raise
        changed = True
    if changed:
        raise ArchiveError(
            f"{member.path}: changed while it was packed; wait for the run that writes it"
        )


def _header(name: str, size: int) -> tarfile.TarInfo:
    """A regular, world-readable file with fixed owner and time."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o644
    return header


class _Hashed(io.RawIOBase):
    """A stream that hashes what is read from it."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self._digest.update(piece)
        return piece

    def sha256(self) -> str:
        return self._digest.hexdigest()
