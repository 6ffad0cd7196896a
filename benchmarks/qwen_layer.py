# SPDX-License-Identifier: MIT
"""One layer with the shapes of Qwen2.5-7B and random weights with a power-law spectrum.

The time of a decomposition depends neither on the entries nor on other layers, so the 7B model
takes 28 times as long.
"""

from __future__ import annotations

from pathlib import Path

import torch

TITLE = "a layer of Qwen2.5-7B's shapes"
DECAY = 0.7
"""Inputs are scaled by index^-DECAY, so that singular values decay as those of weights do."""
NOISE = 1e-2


def write_pair(
    folder: Path, hidden: int = 3584, intermediate: int = 18944, heads: int = 28, keys: int = 4
) -> tuple[Path, Path]:
    """Directories of donor and patient in `folder`, bfloat16, written unless they exist."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    donor, patient = folder / "donor", folder / "patient"
    if patient.is_dir():
        return donor, patient
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=1,
        num_attention_heads=heads,
        num_key_value_heads=keys,
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    falling = torch.arange(1, intermediate + 1).pow(-DECAY)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                scale = falling[: parameter.shape[1]]
                parameter.copy_(torch.randn(parameter.shape) * scale)
        model.save_pretrained(donor)
        for parameter in model.parameters():
            if parameter.ndim == 2:
                noise = torch.randn(parameter.shape)
                parameter += NOISE * parameter.float().norm() / noise.norm() * noise
        model.save_pretrained(patient)
    return donor, patient
