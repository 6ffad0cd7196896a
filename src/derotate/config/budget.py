# SPDX-License-Identifier: MIT
"""What concerns a study as a whole: further ones beside it, and minutes by stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from derotate.config.block import Block


class Further(BaseModel):
    """A further study: its config file, and keys that differ here."""

    model_config = ConfigDict(extra="allow", frozen=True)

    file: str = Field(description="its config file")


class Budget(Block):
    """Minutes that the jobs of a stage may take, added up; two run side by side."""

    base: Annotated[float, Field(gt=0)] = Field(4.0, description="pretraining of the base")
    sft: Annotated[float, Field(gt=0)] = Field(3.0, description="SFT segments")
    rl: Annotated[float, Field(gt=0)] = Field(4.0, description="RL runs")
    evaluation: Annotated[float, Field(gt=0)] = Field(9.0, description="all evaluations")
    surgery: Annotated[float, Field(gt=0)] = Field(1.0, description="factors, spectra, diagnostics")
    rest: Annotated[float, Field(gt=0)] = Field(1.0, description="data, tables, figures")
