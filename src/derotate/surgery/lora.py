# SPDX-License-Identifier: MIT
"""An edit of low rank as a LoRA adapter of peft, which holds exactly the same change.

An adapter adds (alpha / r) B A to a weight: here B = left, A = right^T and alpha = r, each matrix
with the rank that its own shape and the recipe give.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from derotate.config.recipes import Recipe
from derotate.models.pair import Operands
from derotate.models.shard_writer import Entry, as_tensor, file_size, lay_out, require_room
from derotate.surgery.apply import Edit
from derotate.surgery.edit_report import Row, row_of
from derotate.surgery.low_rank import NotLowRankError, edit_rank, thin_change


def adapter_ranks(recipe: Recipe, pair: Operands, names: Sequence[str]) -> dict[str, int]:
    """The rank of the change of each matrix that an adapter shall hold; 0 for an empty band.

    Raises:
        NotLowRankError: the recipe makes a change that no adapter holds, or none.
    """
    found = {}
    for name in names:
        if name.endswith("embed_tokens.weight"):
            raise NotLowRankError(
                f"recipe {recipe.name}: edits {name}, expected matrices of layers or an untied "
                "head for LoRA; write a checkpoint (--format checkpoint)"
            )
        shape = pair.patient.places[name].shape
        found[name] = edit_rank(recipe, (shape[0], shape[1]), name)
    if not any(found.values()):
        raise NotLowRankError(
            f"recipe {recipe.name}: its band is empty, expected a change for LoRA; widen the band"
        )
    return found


def write_adapter(
    pair: Operands, changed: Iterator[Edit], ranks: Mapping[str, int], made: Path
) -> list[Row]:
    """Write weights and config of the adapter into the folder `made`; a row a matrix."""
    modules = {
        name: pair.parameters[name].removesuffix(".weight") for name, rank in ranks.items() if rank
    }
    entries = {}
    for name, module in modules.items():
        out_features, in_features = pair.patient.places[name].shape
        for side, shape in (("A", (ranks[name], in_features)), ("B", (out_features, ranks[name]))):
            entries[_key(module, side)] = Entry("F32", shape, 4 * math.prod(shape))
    require_room(made, file_size(entries))
    slots = lay_out(made / "adapter_model.safetensors", entries)

    def written(edit: Edit) -> Row:
        rank, nothing = ranks[edit.name], float("nan")
        if not rank:
            return row_of(edit, 0, 0.0, nothing)
        thin = thin_change(edit.change, rank, edit.name)
        for side, factor in (("A", thin.right.T), ("B", thin.left)):
            key = _key(modules[edit.name], side)
            as_tensor(slots[key].data(), torch.float32, entries[key].shape).copy_(factor)
        return row_of(edit, rank, thin.norm, nothing)

    # `map` holds no edit while the next one is made
    rows = list(map(written, changed))
    _write_adapter_config(pair, {module: ranks[name] for name, module in modules.items()}, made)
    return rows


def _key(module: str, side: str) -> str:
    return f"base_model.model.{module}.lora_{side}.weight"


def _write_adapter_config(pair: Operands, ranks: Mapping[str, int], made: Path) -> None:
    from peft import LoraConfig

    largest = max(ranks.values())
    config = LoraConfig(
        base_model_name_or_path=str(pair.patient.directory),
        task_type="CAUSAL_LM",
        target_modules=sorted(ranks),
        r=largest,
        lora_alpha=largest,
        rank_pattern=dict(ranks),
        alpha_pattern=dict(ranks),
        lora_dropout=0.0,
        bias="none",
        inference_mode=True,
    ).to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in
             config.items()}  # fmt: skip
    text = json.dumps(plain, indent=2, sort_keys=True) + "\n"
    (made / "adapter_config.json").write_text(text, encoding="utf-8")
