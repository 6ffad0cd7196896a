# SPDX-License-Identifier: MIT
"""SFT of a LoRA adapter."""

from pathlib import Path

from derotate import runtime

optimisation = dict(snakemake.params.optimisation)
runtime.start(snakemake.log[0], optimisation.pop("threads"))

from derotate.stages.sft import train_sft
from derotate.training.supervised import Adapter, Optimisation

train_sft(
    start=Path(snakemake.input.base).parent,
    samples=Path(snakemake.input.samples),
    optimisation=Optimisation(
        schedule="constant_with_warmup", seed=int(snakemake.wildcards.seed), **optimisation
    ),
    adapter=Adapter(**snakemake.params.adapter),
    directories={
        step: Path(weights).parent
        for step, weights in zip(snakemake.params.steps, snakemake.output.weights, strict=True)
    },
    log=Path(snakemake.output.table),
)
