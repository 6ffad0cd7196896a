# SPDX-License-Identifier: MIT
"""Mllama (Llama 3.2 Vision) on text alone: what training moves, and the Llama that it amounts to.

Without an image, Mllama skips its vision tower, the projector and its cross-attention layers
(Llama 3, arXiv 2407.21783, section 7).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def freeze_image_parameters(model: Any) -> None:
    """Freeze the parameters that text does not use; a language model has none.

    They get no gradient and never change. Frozen, they have no optimizer state either, which a
    sharded training could not be resumed with.

    Args:
        model: any causal model of transformers; only Mllama has such parameters.
    """
    if not hasattr(model.config, "vision_config"):
        return
    cross_attention = getattr(model.config.get_text_config(), "cross_attention_layers", [])
    layers = "|".join(map(str, cross_attention)) or "-"
    pattern = re.compile(rf"\b(vision_model|multi_modal_projector|layers\.({layers}))\.")
    for name, parameter in model.named_parameters():
        if pattern.search(name):
            parameter.requires_grad_(False)


def text_part(model: Any) -> Any:
    """The Llama with the same logits on text as an Mllama; any other model is returned as it is.

    It has neither cross-attention layers nor the embedding rows of image tokens. Weights are shared
    with the model, not copied. vLLM needs it: 0.10.2 was its last version with Mllama.
    """
    config = model.config.get_text_config()
    if config.model_type != "mllama_text_model":
        return model
    cross_attention = set(config.cross_attention_layers)
    layers = [i for i in range(config.num_hidden_layers) if i not in cross_attention]
    weights = model.state_dict()
    embedding = next(
        name for name in weights if name.endswith("language_model.embed_tokens.weight")
    )
    prefix = embedding.removesuffix("embed_tokens.weight")
    state = {
        "model.embed_tokens.weight": weights[embedding][: config.vocab_size],
        "model.norm.weight": weights[f"{prefix}norm.weight"],
        "lm_head.weight": model.get_output_embeddings().weight.detach(),
    }
    for index, layer in enumerate(layers):
        start = f"{prefix}layers.{layer}."
        names = [name for name in weights if name.startswith(start)]
        state |= {f"model.layers.{index}.{name[len(start) :]}": weights[name] for name in names}
    with torch.device("meta"):
        llama = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=len(layers),
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                hidden_act=config.hidden_act,
                max_position_embeddings=config.max_position_embeddings,
                rms_norm_eps=config.rms_norm_eps,
                rope_parameters=config.rope_parameters,
                tie_word_embeddings=False,
                pad_token_id=config.pad_token_id,
                bos_token_id=config.bos_token_id,
                eos_token_id=config.eos_token_id,
                dtype=model.dtype,
            )
        )
    llama.load_state_dict(state, assign=True)
    # rotary frequencies are computed, not stored; those made above are on the meta device
    llama.model.rotary_emb = type(llama.model.rotary_emb)(config=llama.config)
    if model.generation_config is not None:
        llama.generation_config = model.generation_config
    return llama.eval()
