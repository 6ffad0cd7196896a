# SPDX-License-Identifier: MIT
"""Merge the shards of a model into one safetensors file of one dtype, tensor by tensor."""

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
    preallocate,
    require_room,
)
from derotate.models.shards import CONFIG, SCANNED, WEIGHTS, open_shards, require_finite

DTYPES: Final = {"bfloat16": ("BF16", torch.bfloat16), "float32": ("F32", torch.float32)}
"""Name of a dtype -> its name in safetensors, and torch's dtype."""
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
SMALL_FLOATS: Final = ("F8", "F4", "F6")


def merge(source: Path, target: Path, dtype: str) -> list[Path]:
    """Write weights and config of a model to another directory, as one weights file.

    One tensor at a time is in memory. Every tensor is read back and compared.

    Args:
        source: directory with one safetensors file, or shards and an index, and a config.
        target: an existing folder.
        dtype: of floating-point weights in the new file, `bfloat16` or `float32`.

    Returns:
        The weights files that were read, and their config.

    Raises:
        CheckpointError: shards are missing or pickled, a parameter would be left at random weights,
            a value is not finite or overflows the dtype, weights are quantised, or the disk is
            full.
    """
    shards = open_shards(source)
    if "quantization_config" in shards.config:
        raise CheckpointError(
            f"{source}: got quantised weights according to config.json, expected full precision; "
            "use the model that they were quantised from"
        )
    module_names(shards)
    require_finite(shards)
    dtype_name, torch_dtype = DTYPES[dtype]
    entries = {}
    for name, place in shards.places.items():
        if place.dtype.startswith(SMALL_FLOATS):
            raise CheckpointError(
                f"{source}: tensor {name} is {place.dtype}, expected weights that are not "
                "quantised; use the model that they were quantised from"
            )
        count = place.size // BYTES.get(place.dtype, 1)
        entries[name] = (
            Entry(dtype_name, place.shape, count * BYTES[dtype_name])
            if place.dtype in FLOATS
            else Entry(place.dtype, place.shape, place.size)
        )
    require_room(target, file_size(entries))
    for name, slot in preallocate(target / WEIGHTS, entries).items():
        stored = shards[name]
        if entries[name].dtype == shards.places[name].dtype:
            copy_bytes(slot.data(), stored)
        else:
            as_tensor(slot.data(), torch_dtype, entries[name].shape).copy_(stored)
    config = _with_dtype(shards.config, dtype)
    (target / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    merged = open_shards(target)
    for name in shards:
        if not _equal(merged[name], shards[name]):
            raise CheckpointError(
                f"{source}: tensor {name} was read back with other values than were written; check "
                "the disk, then repeat"
            )
    # a value that overflows the dtype has become infinite
    require_finite(merged)
    return [*shards.files, source / CONFIG]


def _equal(merged: Tensor, source: Tensor) -> bool:
    """Whether a tensor equals the source cast to its dtype, bit for bit."""
    blocks = zip(merged.reshape(-1).split(SCANNED), source.reshape(-1).split(SCANNED), strict=True)
    return all(torch.equal(block, original.to(block.dtype)) for block, original in blocks)


def _with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The config with another dtype of the weights, in its sub-configs too."""
    changed = {
        key: _with_dtype(value, dtype) if key.endswith("_config") and isinstance(value, dict)
        else value
        for key, value in config.items() if key != "torch_dtype"
    }  # fmt: skip
    return changed | {"dtype": dtype}
