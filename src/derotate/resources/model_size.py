# SPDX-License-Identifier: MIT
"""The size of a pretrained model before it is fetched, since resource requests depend on it.

It is in the config, or it is read from the folder or the hub's cache (config.json and the headers
of safetensors). There is no network access and no import of torch, since Snakemake plans with it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derotate.resources.formulas import BFLOAT16, FLOAT32, Size

if TYPE_CHECKING:
    from derotate.config.model import PretrainedModel


class SizeError(ValueError):
    """The size of a model is unknown; one line with the config keys that set it."""


def size_of(model: PretrainedModel) -> Size:
    """Size of a pretrained model.

    Raises:
        SizeError: the size is neither in the config nor on this machine.
    """
    each = BFLOAT16 if model.dtype == "bfloat16" else FLOAT32
    if model.parameters and model.layers and model.width:
        return Size(model.parameters, model.width, model.layers, each)
    folder = Path(model.pretrained).expanduser() if model.is_folder else _cached(model)
    try:
        assert folder is not None
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text: dict[str, Any] = config.get("text_config") or config
        files = sorted(folder.glob("model*.safetensors"))
        parameters = sum(map(_parameters, files))
        found = Size(parameters, text["hidden_size"], text["num_hidden_layers"], each)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError):
        found = None
    if found is None or not found.parameters:
        where = "in that folder" if model.is_folder else "in the hub's cache"
        raise SizeError(
            f"model.parameters: got null, and {model.pretrained} is not whole {where}, where it is "
            "read from; give model.parameters, layers and width in the config file"
        )
    return found


def _cached(model: PretrainedModel) -> Path | None:
    """The folder of a commit in the hub's cache; None if it is not cached."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.pretrained, "config.json", revision=model.revision)
    return Path(found).parent if isinstance(found, str) else None


def _parameters(file: Path) -> int:
    """Number of parameters in a safetensors file, from its header: 8 bytes of length, then JSON."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(
        math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__"
    )
