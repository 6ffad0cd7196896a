# SPDX-License-Identifier: MIT
"""Train one SFT segment."""

from pathlib import Path

from derotate import runtime

optimisation = dict(snakemake.params.optimisation)
runtime.start(snakemake.log[0], optimisation.pop("threads"))

from derotate.stages.sft import train_sft
from derotate.training.supervised import Optimisation

train_sft(
    start=Path(snakemake.input.base).parent,
    resume_from=Path(snakemake.input.state) if snakemake.input.state else None,
    samples=Path(snakemake.input.samples),
    optimisation=Optimisation(
        schedule="constant_with_warmup", seed=int(snakemake.wildcards.seed), **optimisation
    ),
    directories={
        step: Path(weights).parent
        for step, weights in zip(snakemake.params.steps, snakemake.output.weights, strict=True)
    },
    state=Path(snakemake.output.state),
    log=Path(snakemake.output.table),
)
