# SPDX-License-Identifier: MIT
"""Safetensors files that are laid out first and filled tensor by tensor, through a memory map.

The library's own writer takes all tensors of a file at once, which for a shard of the usual 5 GB is
more than editing it needs. What is zero is not written, so that a sparse file stays sparse.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from derotate.models.checkpoint import CheckpointError

COPIED = 1 << 26
"""Bytes copied together."""

BYTES: dict[str, int] = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4,
                         "F16": 2, "BF16": 2, "I16": 2, "U16": 2}  # fmt: skip
"""Bytes of a number of a type in the words of the format; 1 for all others."""


@dataclass(frozen=True)
class Entry:
    """A tensor that a file will hold: type in the words of the format, shape, bytes."""

    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Slot:
    """Where the bytes of a tensor go: from `start` to `stop` of a file of `length` bytes."""

    file: Path
    length: int
    start: int
    stop: int

    def data(self) -> Tensor:
        """The bytes, uint8 [stop - start]: writing into them writes the file.

        A map of its own: what was written to it leaves memory when it is dropped.
        """
        whole = torch.from_file(str(self.file), shared=True, size=self.length, dtype=torch.uint8)
        return whole[self.start : self.stop]


def lay_out(file: Path, entries: Mapping[str, Entry]) -> dict[str, Slot]:
    """Make a safetensors file full of zeros and return where each of its tensors goes.

    Tensors of wide types come first, so that each is aligned.
    """
    placed, end = {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: -BYTES.get(item[1].dtype, 1)):
        placed[name] = (end, end + entry.size)
        end += entry.size
    header = {
        name: {"dtype": entries[name].dtype, "shape": list(entries[name].shape),
               "data_offsets": list(span)}
        for name, span in placed.items()
    }  # fmt: skip
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    begin = 8 + len(text)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(begin + end)
    return {
        name: Slot(file, begin + end, begin + start, begin + stop)
        for name, (start, stop) in placed.items()
    }


def file_size(entries: Mapping[str, Entry]) -> int:
    """Bytes of the tensors of such a file."""
    return sum(entry.size for entry in entries.values())


def as_tensor(data: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The bytes of a laid-out tensor as that tensor."""
    return data.view(dtype).view(shape)


def copy_bytes(data: Tensor, source: Tensor) -> None:
    """Fill a laid-out tensor with the bytes of another."""
    stored = source.contiguous().reshape(-1).view(torch.uint8)
    for target, block in zip(data.split(COPIED), stored.split(COPIED), strict=True):
        if bool(block.any()):
            target.copy_(block)


def require_room(folder: Path, size: int) -> None:
    """Refuse to begin what would fill the disk.

    Raises:
        CheckpointError: fewer than `size` bytes are free where `folder` is.
    """
    # a full disk kills a process that writes to a memory map, without a word
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CheckpointError(
            f"{folder.parent}: {size / 1e9:.1f} GB are to be written, {free / 1e9:.1f} GB are "
            "free; make room or name a directory on another disk"
        )
