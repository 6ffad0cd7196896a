# SPDX-License-Identifier: MIT
"""The part of a model that text alone goes through, as a model of its own.

vLLM 0.10.2 was the last with a model for Mllama. Without an image such a model passes over its
layers of cross-attention, so what is left of it is a Llama.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def text_part(model: Any) -> Any:
    """Of an Mllama the Llama that reads text, with the same logits; else the model.

    Layers of cross-attention are left out, and so are the rows of the embedding that stand for
    images, which no text has. Weights are shared with the model, not copied.
    """
    config = model.config.get_text_config()
    if config.model_type != "mllama_text_model":
        return model
    crossing = set(config.cross_attention_layers)
    kept = [layer for layer in range(config.num_hidden_layers) if layer not in crossing]
    whole = model.state_dict()
    embedding = next(name for name in whole if name.endswith("language_model.embed_tokens.weight"))
    prefix = embedding.removesuffix("embed_tokens.weight")
    state = {
        "model.embed_tokens.weight": whole[embedding][: config.vocab_size],
        "model.norm.weight": whole[f"{prefix}norm.weight"],
        "lm_head.weight": model.get_output_embeddings().weight.detach(),
    }
    for place, layer in enumerate(kept):
        start = f"{prefix}layers.{layer}."
        of_layer = (name for name in whole if name.startswith(start))
        state |= {f"model.layers.{place}.{name[len(start) :]}": whole[name] for name in of_layer}
    with torch.device("meta"):
        llama = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=len(kept),
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
    # its frequencies are computed, not stored, and those above are on no device
    llama.model.rotary_emb = type(llama.model.rotary_emb)(config=llama.config)
    if model.generation_config is not None:
        llama.generation_config = model.generation_config
    return llama.eval()
