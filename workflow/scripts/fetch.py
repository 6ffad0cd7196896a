# SPDX-License-Identifier: MIT
"""Fetch the pretrained base."""

from pathlib import Path

from derotate import runtime

runtime.start(snakemake.log[0], online=True)

from derotate.settings import PretrainedModel
from derotate.stages.fetch import fetch

fetch(
    PretrainedModel(**snakemake.params.model),
    directory=Path(snakemake.output.weights).parent,
)
