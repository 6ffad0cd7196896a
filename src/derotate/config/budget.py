# SPDX-License-Identifier: MIT
"""Blocks about a study as a whole: further studies, and the time budget per stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from derotate.config.block import Block


class Further(BaseModel):
    """A further study: its config file, and keys that override the file."""

    model_config = ConfigDict(extra="allow", frozen=True)

    file: str = Field(description="path of its config file")


class Budget(Block):
    """Budget of the summed job times of a stage, in minutes; two jobs run in parallel."""

    base: Annotated[float, Field(gt=0)] = Field(4.0, description="pretraining of bases")
    sft: Annotated[float, Field(gt=0)] = Field(3.0, description="SFT segments")
    rl: Annotated[float, Field(gt=0)] = Field(4.0, description="RL runs")
    evaluation: Annotated[float, Field(gt=0)] = Field(9.0, description="all evaluations")
    surgery: Annotated[float, Field(gt=0)] = Field(1.0, description="factors, spectra, diagnostics")
    rest: Annotated[float, Field(gt=0)] = Field(1.0, description="data, tables, figures")
