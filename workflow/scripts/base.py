# SPDX-License-Identifier: MIT
"""Pretrain the base."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.config.model import TinyModel
from derotate.config.training import Base, Compute
from derotate.stages.base import train_base
from derotate.training.sft import Optimisation, SftJob

settings = Base(**snakemake.params.settings)
train_base(
    snakemake.params.task,
    model=TinyModel(**snakemake.params.model),
    mixture=settings.mixture,
    job=SftJob(
        optimisation=Optimisation(
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            warmup_steps=settings.warmup_steps,
            schedule="cosine",
            seed=int(snakemake.wildcards.base_seed),
        ),
        checkpoints={settings.steps: Path(snakemake.output.weights).parent},
        log=Path(snakemake.output.table),
        compute=Compute(),
    ),
)
