# SPDX-License-Identifier: MIT
"""A low-rank edit as a LoRA adapter for peft that holds exactly the same change.

An adapter adds (alpha / r) B A to a weight, A [r, in], B [out, r] (Hu et al. 2021). Here B = left,
A = right^T and alpha = r. The rank r of each matrix follows from its shape and the recipe.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from derotate.config.recipes import Recipe
from derotate.models.pair import CheckpointPair
from derotate.models.shard_writer import Entry, as_tensor, file_size, preallocate, require_room
from derotate.surgery.apply import Edit, MatrixReport
from derotate.surgery.low_rank import NotLowRankError, edit_rank, low_rank_change


def adapter_ranks(recipe: Recipe, pair: CheckpointPair, names: Sequence[str]) -> dict[str, int]:
    """Rank of the change of each matrix; 0 where the band is empty.

    Raises:
        NotLowRankError: no adapter can hold the recipe's change, or the recipe changes nothing.
    """
    ranks = {}
    for name in names:
        if name.endswith("embed_tokens.weight"):
            raise NotLowRankError(
                f"recipe {recipe.name}: edits {name}, expected matrices of layers or an untied "
                "head for LoRA; write a checkpoint (--format checkpoint)"
            )
        shape = pair.patient.places[name].shape
        ranks[name] = edit_rank(recipe, (shape[0], shape[1]), name)
    if not any(ranks.values()):
        raise NotLowRankError(
            f"recipe {recipe.name}: its band is empty, expected a change for LoRA; widen the band"
        )
    return ranks


def write_adapter(
    pair: CheckpointPair, edits: Iterator[Edit], ranks: Mapping[str, int], out: Path
) -> list[MatrixReport]:
    """Write the adapter's weights and config into the folder `out`; one report per matrix."""
    modules = {
        name: pair.parameters[name].removesuffix(".weight") for name, rank in ranks.items() if rank
    }
    entries = {}
    for name, module in modules.items():
        out_features, in_features = pair.patient.places[name].shape
        for side, shape in (("A", (ranks[name], in_features)), ("B", (out_features, ranks[name]))):
            entries[_key(module, side)] = Entry("F32", shape, 4 * math.prod(shape))
    require_room(out, file_size(entries))
    slots = preallocate(out / "adapter_model.safetensors", entries)

    def write(edit: Edit) -> MatrixReport:
        rank, no_cast = ranks[edit.name], float("nan")
        if not rank:
            return edit.report(0, 0.0, no_cast)
        low_rank = low_rank_change(edit.change, rank, edit.name)
        for side, factor in (("A", low_rank.right.T), ("B", low_rank.left)):
            key = _key(modules[edit.name], side)
            as_tensor(slots[key].data(), torch.float32, entries[key].shape).copy_(factor)
        return edit.report(rank, low_rank.norm, no_cast)

    # A loop variable would keep an edit in memory while the next one is made; `map` does not.
    rows = list(map(write, edits))
    _write_adapter_config(pair, {module: ranks[name] for name, module in modules.items()}, out)
    return rows


def _key(module: str, side: str) -> str:
    return f"base_model.model.{module}.lora_{side}.weight"


def _write_adapter_config(pair: CheckpointPair, ranks: Mapping[str, int], out: Path) -> None:
    from peft import LoraConfig

    largest = max(ranks.values())
    config = LoraConfig(
        base_model_name_or_path=str(pair.patient.directory),
        task_type="CAUSAL_LM",
        target_modules=sorted(ranks),
        r=largest,
        lora_alpha=largest,
        # alpha = r for every module: the scale alpha / r is 1, so B A is the change itself.
        rank_pattern=dict(ranks),
        alpha_pattern=dict(ranks),
        lora_dropout=0.0,
        bias="none",
        inference_mode=True,
    ).to_dict()
    # peft holds module names as sets, which JSON lacks and whose order is not reproducible.
    plain = {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
    text = json.dumps(plain, indent=2, sort_keys=True) + "\n"
    (out / "adapter_config.json").write_text(text, encoding="utf-8")
