# SPDX-License-Identifier: MIT
"""Read the safetensors of a model directory tensor by tensor from memory-mapped shards.

A model of eleven billion parameters does not fit in a laptop's memory; one of its matrices does.
Mapped pages belong to the page cache: they are read on use, and dropped when memory runs short.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from derotate.models.checkpoint import CheckpointError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
SCANNED = 1 << 22
"""Values per block of a scan or comparison."""


@dataclass(frozen=True)
class Place:
    """Where a tensor is stored, from the header of its file.

    Attributes:
        file: the safetensors file.
        dtype: safetensors dtype, e.g. BF16.
        shape: of the tensor.
        start: offset of its first byte in the file.
        size: bytes.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True, eq=False)
class Shards(Mapping[str, Tensor]):
    """The tensors of a model directory by name, in their order in the files.

    An item is memory-mapped and has the stored dtype; it takes no memory until it is used.
    """

    directory: Path
    config: Mapping[str, Any]
    places: Mapping[str, Place]

    def __getitem__(self, name: str) -> Tensor:
        # opened each time, since pages of a map stay in memory until the map is closed
        with safe_open(self.places[name].file, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def files(self) -> list[Path]:
        """The safetensors files, in order of name."""
        return sorted({place.file for place in self.places.values()})

    @cached_property
    def tied(self) -> bool:
        """Whether the head is tied to the embedding, so that no head is stored."""
        return not any(name.endswith("lm_head.weight") for name in self.places)


def open_shards(directory: Path) -> Shards:
    """Open a model directory and read its headers: one safetensors file, or shards and an index.

    Raises:
        CheckpointError: no config, no safetensors weights, pickled weights only, or a shard that is
            missing, truncated or contradicts the index; one line with the file and a remedy.
    """
    config = _json(directory / CONFIG, "expected the directory of a Hugging Face model")
    if (directory / WEIGHTS).is_file():
        files, indexed = [directory / WEIGHTS], None
    elif (directory / INDEX).is_file():
        indexed = _read_index(directory / INDEX)
        files = [directory / name for name in sorted(set(indexed.values()))]
    else:
        raise CheckpointError(_no_weights(directory))
    places: dict[str, Place] = {}
    for file in files:
        for name, place in _header(file).items():
            if name in places:
                raise CheckpointError(
                    f"{directory}: tensor {name} is in {places[name].file.name} and in "
                    f"{file.name}, expected it once; copy the checkpoint again"
                )
            places[name] = place
    if indexed is not None:
        _require_as_indexed(directory, indexed, places)
    return Shards(directory, config, places)


def require_finite(shards: Shards) -> None:
    """Refuse a checkpoint with a NaN or an infinity in any of its tensors.

    Raises:
        CheckpointError: the name of the first such tensor.
    """
    for name in shards:
        tensor = shards[name]
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        flat = tensor.reshape(-1)
        for block in flat.split(SCANNED):
            # torch has no maximum of eight-bit floats
            block = block.float() if block.element_size() == 1 else block
            # max propagates NaN, and takes a quarter of the time of isfinite on all values
            if not bool(torch.isfinite(block.abs().max())):
                raise CheckpointError(
                    f"{shards.directory}: tensor {name} holds a NaN or infinity; expected finite "
                    "weights, copy the checkpoint again or use an earlier one"
                )


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent}: no {path.name}; {remedy}") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not readable JSON ({reason}); {remedy}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds no JSON object; {remedy}")
    return value


def _read_index(index: Path) -> dict[str, str]:
    """Tensor name -> file name from the index; every file exists."""
    remedy = "copy the checkpoint again"
    weight_map = _json(index, remedy).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: no weight_map of tensors to files; {remedy}")
    for file in sorted(set(map(str, weight_map.values()))):
        # an untrusted index must not point outside its directory
        if Path(file).name != file:
            raise CheckpointError(f"{index}: shard {file}, expected a file name; {remedy}")
        if not (index.parent / file).is_file():
            raise CheckpointError(
                f"{index.parent}: shard {file} is missing, which {index.name} names; {remedy}"
            )
    return {str(name): str(file) for name, file in weight_map.items()}


def _require_as_indexed(
    directory: Path, indexed: Mapping[str, str], places: Mapping[str, Place]
) -> None:
    """Refuse shards whose tensors differ from the index."""
    for name in sorted({*indexed, *places}):
        expected = indexed.get(name, "no file")
        actual = places[name].file.name if name in places else "no file"
        if expected != actual:
            raise CheckpointError(
                f"{directory}: tensor {name} is in {actual}, but {INDEX} says {expected}; copy the "
                "checkpoint again"
            )


def _no_weights(directory: Path) -> str:
    pickled = sorted(file.name for file in directory.iterdir() if file.suffix in PICKLED)
    if pickled:
        return (
            f"{directory}: pickled weights only ({pickled[0]}), which can run code and are not "
            "read; convert them to safetensors"
        )
    return f"{directory}: no {WEIGHTS} and no {INDEX}; copy the weights or convert them"


def _header(file: Path) -> dict[str, Place]:
    """Tensors of a safetensors file, in the order of their bytes.

    The library checks the header against the file but does not expose offsets. So the header (8
    bytes of length, then JSON) is read here too.
    """
    try:
        with safe_open(file, framework="pt"):
            pass
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{file}: not a readable safetensors file ({reason}); copy the checkpoint again"
        ) from None
    header.pop("__metadata__", None)
    places = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        places[name] = Place(
            file, entry["dtype"], tuple(entry["shape"]), 8 + length + start, end - start
        )
    return places
