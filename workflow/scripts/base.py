# SPDX-License-Identifier: MIT
"""Pretrain the base."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.config.model import TinyModel
from derotate.config.training import Base
from derotate.stages.base import train_base

train_base(
    snakemake.params.task,
    model=TinyModel(**snakemake.params.model),
    settings=Base(**snakemake.params.settings),
    seed=int(snakemake.wildcards.base_seed),
    directory=Path(snakemake.output.weights).parent,
    log=Path(snakemake.output.table),
)
