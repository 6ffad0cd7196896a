# SPDX-License-Identifier: MIT
"""Train one SFT segment, or an arm beside SFT."""

from pathlib import Path

from derotate import runtime

optimisation = dict(snakemake.params.optimisation)
runtime.start(snakemake.log[0], optimisation.pop("threads"))

from derotate.stages.sft import train_sft
from derotate.training.supervised import Adapter, Optimisation

adapter = snakemake.params.get("adapter")
resumed, state = snakemake.input.get("state"), snakemake.output.get("state")
train_sft(
    start=Path(snakemake.input.base).parent,
    samples=Path(snakemake.input.samples),
    optimisation=Optimisation(
        schedule="constant_with_warmup", seed=int(snakemake.wildcards.seed), **optimisation
    ),
    directories={
        step: Path(weights).parent
        for step, weights in zip(snakemake.params.steps, snakemake.output.weights, strict=True)
    },
    log=Path(snakemake.output.table),
    resume_from=Path(resumed) if resumed else None,
    state=Path(state) if state else None,
    adapter=Adapter(**adapter) if adapter else None,
)
