# SPDX-License-Identifier: MIT
"""Base class of config blocks, and the types that several blocks use."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Fold = Literal["train", "rl", "selection", "test"]
Engine = Literal["transformers", "vllm"]
VLLM_TEMPERATURE: Final = 2.0
"""Highest sampling temperature that vLLM 0.30 accepts."""


class Block(BaseModel):
    """A block of the config: frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def require_temperature_of_vllm(temperature: float, key: str) -> None:
    """Refuse a sampling temperature above the maximum of vLLM, which `key` selects."""
    if temperature > VLLM_TEMPERATURE:
        raise ValueError(
            f"temperature: got {temperature:g}, expected at most {VLLM_TEMPERATURE:g}, the "
            f"maximum of vLLM; lower it, or set {key} to transformers"
        )
