# SPDX-License-Identifier: MIT
"""Tiny models of the architectures that are edited, with spectra that look trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MllamaConfig,
    MllamaForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)

TEXT: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def power_law(model: Any, seed: int) -> None:
    """Give each matrix singular values that fall as a power of their index, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim != 2 or 1 in parameter.shape:
                continue
            noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
            u, s, vh = torch.linalg.svd(noise, full_matrices=False)
            falling = torch.arange(1, len(s) + 1, dtype=torch.float64).pow(-0.8)
            parameter.copy_((u * falling) @ vh)


def near(model: Any, seed: int, distance: float = 0.05) -> None:
    """Move each matrix by gaussian noise of that relative norm: a patient of the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += noise * (distance * parameter.norm() / noise.norm())


def llama(width: int = 32) -> Any:
    """Llama, head of its own."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**TEXT | {"hidden_size": width}, tie_word_embeddings=False))


def qwen2(tied: bool = False, vocabulary: int = 50, width: int = 32) -> Any:
    """Qwen2 with grouped keys."""
    torch.manual_seed(0)
    text = {**TEXT, "vocab_size": vocabulary, "hidden_size": width}
    return Qwen2ForCausalLM(Qwen2Config(**text, tie_word_embeddings=tied))


def mllama(vocabulary: int = 50, width: int = 32) -> Any:
    """Llama 3.2 Vision: cross-attention in the second of three layers, a small vision tower."""
    torch.manual_seed(0)
    text = {**TEXT, "vocab_size": vocabulary, "hidden_size": width,
            "num_hidden_layers": 3, "cross_attention_layers": [1],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
    vision = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_global_layers": 1,
        "attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
        "max_num_tiles": 1,
        "intermediate_layers_indices": [0],
        "vision_output_dim": width,
        "supported_aspect_ratios": [[1, 1]],
    }
    return MllamaForConditionalGeneration(
        MllamaConfig(text_config=text, vision_config=vision, image_token_index=vocabulary - 1)
    )


def write(model: Any, directory: Path, shard: str = "1TB") -> Path:
    """Save a model, in shards if they are to be small."""
    model.save_pretrained(directory, max_shard_size=shard)
    return directory


def pair(model: Any, folder: Path, shard: str = "1TB") -> tuple[Path, Path]:
    """Directories of a trained-looking donor and of a patient near it."""
    power_law(model, seed=1)
    donor = write(model, folder / "donor", shard)
    near(model, seed=2)
    return donor, write(model, folder / "patient", shard)
