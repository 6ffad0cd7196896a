# SPDX-License-Identifier: MIT
"""Fetch the pretrained base."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], online=True)

from derotate.config.model import PretrainedModel
from derotate.stages.fetch import fetch

fetch(
    PretrainedModel(**snakemake.params.model),
    directory=Path(snakemake.output.weights).parent,
)
