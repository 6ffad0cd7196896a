# SPDX-License-Identifier: MIT
"""Write safetensors files tensor by tensor, through a memory map.

The library's writer takes all tensors of a file at once, usually 5 GB per shard. Editing needs one
tensor at a time. Blocks of zeros are not written, so that a sparse file stays sparse.
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
"""Bytes per block of a copy."""

BYTES: dict[str, int] = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4,
                         "F16": 2, "BF16": 2, "I16": 2, "U16": 2}  # fmt: skip
"""Bytes per value of a safetensors dtype; 1 for all others."""


@dataclass(frozen=True)
class Entry:
    """A tensor of a file to write: safetensors dtype, shape, size in bytes."""

    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Slot:
    """The place of a tensor: bytes `start` to `stop` of a file of `length` bytes."""

    file: Path
    length: int
    start: int
    stop: int

    def data(self) -> Tensor:
        """The bytes of the tensor, uint8 [stop - start]; writing to them writes to the file.

        Each call maps the file again, so that written pages leave memory when the map is freed.
        """
        file = torch.from_file(str(self.file), shared=True, size=self.length, dtype=torch.uint8)
        return file[self.start : self.stop]


def preallocate(file: Path, entries: Mapping[str, Entry]) -> dict[str, Slot]:
    """Create a safetensors file of zeros and return the place of each tensor.

    Tensors of wide dtypes come first, so that each is aligned.
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
    """Bytes of all tensors together."""
    return sum(entry.size for entry in entries.values())


def as_tensor(data: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The bytes of a `Slot` as a tensor of that dtype and shape."""
    return data.view(dtype).view(shape)


def copy_bytes(data: Tensor, source: Tensor) -> None:
    """Fill the bytes of a `Slot` with those of another tensor."""
    stored = source.contiguous().reshape(-1).view(torch.uint8)
    for target, block in zip(data.split(COPIED), stored.split(COPIED), strict=True):
        if bool(block.any()):
            target.copy_(block)


def require_room(folder: Path, size: int) -> None:
    """Refuse to write more than the disk has room for.

    Raises:
        CheckpointError: fewer than `size` bytes are free where `folder` is.
    """
    # on a full disk, a write to a memory map kills the process without a message
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CheckpointError(
            f"{folder.parent}: {size / 1e9:.1f} GB to write, {free / 1e9:.1f} GB free; make room "
            "or choose a directory on another disk"
        )
