# SPDX-License-Identifier: MIT
"""The shards of a model made one safetensors file of one type, tensor by tensor, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from derotate.models.checkpoint import CheckpointError
from derotate.models.compatibility import module_names
from derotate.models.shard_writer import (
    BYTES,
    Entry,
    as_tensor,
    copy_bytes,
    file_size,
    lay_out,
    require_room,
)
from derotate.models.shards import CONFIG, SCANNED, WEIGHTS, open_shards, require_finite

TYPES: Final = {"bfloat16": ("BF16", torch.bfloat16), "float32": ("F32", torch.float32)}
"""Type by name -> its name in the format, and torch's."""
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
SMALL_FLOATS: Final = ("F8", "F4", "F6")


def merge(source: Path, target: Path, dtype: str) -> list[Path]:
    """Write weights and config of a model directory to another one.

    One tensor at a time is in memory. Every tensor is read back and compared.

    Args:
        source: one safetensors file, or shards behind an index, with a config.
        target: an existing folder.
        dtype: that floating-point weights get, `bfloat16` or `float32`.

    Returns:
        The files of weights that were read, and their config.

    Raises:
        CheckpointError: shards are missing or pickled, the model that config.json names would keep
            random weights, a number is not finite or too large for the type, weights are quantised,
            or the disk is full.
    """
    shards = open_shards(source)
    if "quantization_config" in shards.config:
        raise CheckpointError(
            f"{source}: the weights are quantised, as config.json says; expected them in full "
            "precision, name the model that they were made from"
        )
    module_names(shards)
    require_finite(shards)
    name_of_type, kind = TYPES[dtype]
    entries = {}
    for name, place in shards.places.items():
        if place.dtype.startswith(SMALL_FLOATS):
            raise CheckpointError(
                f"{source}: tensor {name} is {place.dtype}; expected weights that are not "
                "quantised, name the model that they were made from"
            )
        count = place.size // BYTES.get(place.dtype, 1)
        entries[name] = (
            Entry(name_of_type, place.shape, count * BYTES[name_of_type])
            if place.dtype in FLOATS
            else Entry(place.dtype, place.shape, place.size)
        )
    require_room(target, file_size(entries))
    for name, slot in lay_out(target / WEIGHTS, entries).items():
        stored = shards[name]
        if entries[name].dtype == shards.places[name].dtype:
            copy_bytes(slot.data(), stored)
        else:
            as_tensor(slot.data(), kind, entries[name].shape).copy_(stored)
    config = _with_type(shards.config, dtype)
    (target / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    made = open_shards(target)
    for name in shards:
        if not _equal(made[name], shards[name]):
            raise CheckpointError(
                f"{source}: tensor {name} reads back otherwise than it was written; look at the "
                "disk, then repeat"
            )
    # a number that is too large for the type has become infinite
    require_finite(made)
    return [*shards.files, source / CONFIG]


def _equal(made: Tensor, stored: Tensor) -> bool:
    """Whether a tensor is the other one in its own type, bit for bit."""
    blocks = zip(made.reshape(-1).split(SCANNED), stored.reshape(-1).split(SCANNED), strict=True)
    return all(torch.equal(here, there.to(here.dtype)) for here, there in blocks)


def _with_type(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The config with the type of the weights, in its parts too where they tell one."""
    told = {
        key: _with_type(value, dtype) if key.endswith("_config") and isinstance(value, dict)
        else value
        for key, value in config.items() if key != "torch_dtype"
    }  # fmt: skip
    return told | {"dtype": dtype}
