# SPDX-License-Identifier: MIT
"""Which tensors of a Llama or Qwen2 checkpoint are editable matrices, and their kinds.

Only the text model is editable. A vision tower has tensors with the same suffixes, which the
published scripts matched too (a fault of the code released with arXiv 2509.12235), so full names
are matched.
"""

import re

EDITABLE: dict[str, str] = {
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "o": "o_proj",
    "gate": "gate_proj",
    "up": "up_proj",
    "down": "down_proj",
    "embed": "embed_tokens",
    "head": "lm_head",
}
"""Kind -> name of the module in Hugging Face checkpoints."""

DEFAULT_KINDS: tuple[str, ...] = ("q", "k", "v", "o", "gate", "up", "down")
"""Kinds that a recipe edits by default: neither embedding nor head."""

_MATRIX = re.compile(
    r"(?:model\.language_model\.|language_model\.)?(?:model\.)?"
    r"(?:layers\.(?P<layer>\d+)\.(?:self_attn\.(?P<attention>[qkvo])|mlp\.(?P<mlp>gate|up|down))_proj"
    r"|(?P<embed>embed_tokens)|(?P<head>lm_head))\.weight"
)


def matrix_kind(tensor_name: str) -> tuple[int | None, str] | None:
    """Layer and kind of a tensor, e.g. `model.layers.3.mlp.up_proj.weight` -> (3, "up").

    The layer is None for embedding and head. The result is None for all other tensors: norms,
    biases, cross-attention, vision towers.
    """
    match = _MATRIX.fullmatch(tensor_name)
    if match is None:
        return None
    if match["embed"]:
        return None, "embed"
    if match["head"]:
        return None, "head"
    return int(match["layer"]), match["attention"] or match["mlp"]
