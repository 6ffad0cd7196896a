# SPDX-License-Identifier: MIT
"""Decompose the matrices of one checkpoint, behind the guards."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.threads)

import torch

from derotate.config.surgery import Guards
from derotate.stages.factors import factorise_checkpoint

reference = snakemake.input.get("reference")
factorise_checkpoint(
    Path(snakemake.input.weights).parent,
    Path(reference).parent if reference else None,
    Guards(**snakemake.params.guards),
    out=Path(snakemake.output.factors),
    guard_table=Path(snakemake.output.guards),
    dtype=getattr(torch, snakemake.params.precision),
)
