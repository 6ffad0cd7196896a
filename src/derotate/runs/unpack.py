# SPDX-License-Identifier: MIT
"""Unpack the archive of a study after checking every byte.

The archive is not trusted. The manifest lists every member in order, so a missing, truncated,
changed, added or misplaced member is refused by name before any result is written. Files are
unpacked to a temporary folder and moved into place when all of them are correct.

All restored files get the same modification time. Snakemake compares inputs with outputs by time:
no output looks older than its input, so no job is planned that would need weights.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from derotate.runs.archive import FORMAT, MANIFEST, ArchiveError, Member, sha256

LARGEST_MANIFEST: Final = 1 << 28
"""Bytes, enough for a million members. The manifest is read into memory."""

_STUDY: Final = re.compile(r"[a-z][a-z0-9-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BLOCK: Final = 1 << 20
_BROKEN: Final = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(frozen=True)
class Restored:
    """The folder of a restored study, the number of files written and of files left unchanged."""

    folder: Path
    written: int
    unchanged: int


def restore(file: Path, into: Path, *, force: bool = False) -> Restored:
    """Unpack the archive `file` to the folder of its study below `into`.

    Existing files with the same content are not written again.

    Args:
        file: what `derotate archive` wrote.
        into: folder of all studies, e.g. `results`.
        force: overwrite files that differ.

    Raises:
        ArchiveError: the archive is damaged, or an existing file differs; one line with the
            member's name.
        OSError: the archive does not exist, or the disk is full.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=into) as unpacked:
        study, members = unpack(file, Path(unpacked))
        folder = into / study
        targets = {member: _target(folder, member) for member in members}
        new = [member for member, target in targets.items() if not _same(target, member)]
        differing = [member for member in new if targets[member].exists()]
        if differing and not force:
            raise ArchiveError(
                f"{targets[differing[0]]} exists and differs (first of {len(differing)} files); "
                f"move {folder} away or overwrite with --force"
            )
        now = time.time()
        for member in new:
            source, target = Path(unpacked, member.path), targets[member]
            target.parent.mkdir(parents=True, exist_ok=True)
            os.utime(source, (now, now))
            os.replace(source, target)
    return Restored(folder, len(new), len(members) - len(new))


def unpack(file: Path, folder: Path) -> tuple[str, tuple[Member, ...]]:
    """Check the members of an archive and write them to an empty folder.

    Returns:
        The study's name, and its members in the order of the archive.

    Raises:
        ArchiveError: the archive is damaged; one line with the member's name.
    """
    expected = "the manifest"
    try:
        with gzip.open(file) as stream, _tar(stream) as tar:
            study, members = _manifest(file, tar)
            _require_room(file, members, folder)
            for member in members:
                expected = f"{study}/{member.path}"
                _unpack_member(file, tar, expected, member, folder / member.path)
            expected = "the end"
            surplus = tar.next()
            if surplus is not None:
                raise ArchiveError(f"{file}: {surplus.name} is not in the manifest; do not use it")
            # gzip's own checksum follows the last byte
            while stream.read(_BLOCK):
                pass
    except _BROKEN as error:
        raise ArchiveError(
            f"{file}: broken at {expected} ({error}); copy the archive again"
        ) from None
    return study, members


def _tar(stream: gzip.GzipFile) -> tarfile.TarFile:
    """Open a tar without read-ahead, so that an error names the member that is truncated."""
    return tarfile.open(fileobj=stream, mode="r|", bufsize=tarfile.BLOCKSIZE)


def _manifest(file: Path, tar: tarfile.TarFile) -> tuple[str, tuple[Member, ...]]:
    """The study's name and the expected members, from the first member of the archive."""
    header = tar.next()
    parts = PurePosixPath(header.name).parts if header else ()
    if header is None or len(parts) != 2 or parts[1] != MANIFEST or not header.isreg():
        raise ArchiveError(
            f"{file}: expected {MANIFEST} as first member; use a file that derotate archive wrote"
        )
    if header.size > LARGEST_MANIFEST:
        raise ArchiveError(
            f"{file}: {MANIFEST} has {header.size} bytes, expected at most "
            f"{LARGEST_MANIFEST}; do not use it"
        )
    try:
        values = json.loads(_content(tar, header).read())
        known = values["format"]
        study = str(values["study"])
        members = tuple(_member(value) for value in values["members"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{file}: {header.name}: {error}; copy the archive again") from None
    if known != FORMAT:
        raise ArchiveError(
            f"{file}: format {known}, expected {FORMAT}; use the version of derotate that wrote it"
        )
    if not _STUDY.fullmatch(study) or study != parts[0]:
        raise ArchiveError(f"{file}: study {study!r} in {header.name}; do not use it")
    paths = [member.path for member in members]
    if paths != sorted(set(paths)):
        raise ArchiveError(f"{file}: {header.name} names a member twice or out of order")
    for path in paths:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or pure.as_posix() != path or path == ".":
            raise ArchiveError(f"{file}: {path} is outside of {study}/; do not use it")
    return study, members


def _member(value: dict[str, Any]) -> Member:
    path, size, digest = value["path"], value["bytes"], value["sha256"]
    if not (isinstance(path, str) and isinstance(size, int) and size >= 0):
        raise ValueError(f"{value}: expected a path and its bytes")
    if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise ValueError(f"{path}: expected a SHA-256")
    return Member(path, size, digest)


def _require_room(file: Path, members: tuple[Member, ...], folder: Path) -> None:
    needed, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(
            f"{file}: needs {needed / 1e6:.0f} MB, {folder.parent} has {free / 1e6:.0f} MB free; "
            "free disk space"
        )


def _unpack_member(
    file: Path, tar: tarfile.TarFile, name: str, member: Member, target: Path
) -> None:
    """Write the next member of the archive, which must be the next one of the manifest."""
    header = tar.next()
    if header is None or header.name != name:
        raise ArchiveError(f"{file}: {name} is missing; copy the archive again")
    if not header.isreg() or header.size != member.size:
        raise ArchiveError(
            f"{file}: {name}: expected a file of {member.size} bytes; copy the archive again"
        )
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    content = _content(tar, header)
    with target.open("wb") as out:
        while piece := content.read(_BLOCK):
            digest.update(piece)
            out.write(piece)
    if digest.hexdigest() != member.sha256:
        raise ArchiveError(
            f"{file}: {name}: SHA-256 differs from the manifest; copy the archive again"
        )


def _content(tar: tarfile.TarFile, header: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(header)
    assert content is not None  # a regular file
    return content


def _target(folder: Path, member: Member) -> Path:
    """Target path of a member.

    Raises:
        ArchiveError: a symbolic link leads out of the study's folder.
    """
    target = folder / member.path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ArchiveError(f"{target}: a symbolic link leads out of {folder}; remove the link")
    return target


def _same(target: Path, member: Member) -> bool:
    """Whether a file exists and equals the member byte for byte."""
    return (
        target.is_file()
        and target.stat().st_size == member.size
        and sha256(target) == member.sha256
    )
