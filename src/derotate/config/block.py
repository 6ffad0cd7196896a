# SPDX-License-Identifier: MIT
"""What blocks of a config are made of: their base class, and the types that several use."""

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
"""vLLM 0.30 refuses to sample at a higher one."""


class Block(BaseModel):
    """A block of the config: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def require_temperature_of_vllm(temperature: float, key: str) -> None:
    """Refuse a temperature at which vLLM, asked for by that key, does not sample."""
    if temperature > VLLM_TEMPERATURE:
        raise ValueError(
            f"temperature: got {temperature:g}, expected at most {VLLM_TEMPERATURE:g}, which is "
            f"all that vllm takes; lower it, or set {key} to transformers"
        )
