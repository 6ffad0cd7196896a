# SPDX-License-Identifier: MIT
"""What of a vision-language model a training on text alone moves.

Mllama's vision tower, its projector and the cross-attention layers, MLP and all, are passed over
where there is no image (Llama 3, arXiv 2407.21783, section 7): they have no gradient and never
move. Frozen, they have no optimizer state either, which a sharded one could not be resumed with.
"""

from __future__ import annotations

import re
from typing import Any


def freeze_unread(model: Any) -> None:
    """Freeze the parameters of a model that text does not pass; none in a language model.

    Args:
        model: any causal model of transformers, of which Mllama has such parameters.
    """
    if not hasattr(model.config, "vision_config"):
        return
    passed_over = getattr(model.config.get_text_config(), "cross_attention_layers", [])
    layers = "|".join(map(str, passed_over)) or "-"
    unread = re.compile(rf"\b(vision_model|multi_modal_projector|layers\.({layers}))\.")
    for name, parameter in model.named_parameters():
        if unread.search(name):
            parameter.requires_grad_(False)
