# SPDX-License-Identifier: MIT
"""Train one SFT segment, or an arm beside SFT."""

from pathlib import Path

from derotate.runs import job_setup

# several processes import this script anew, without the object `snakemake`
if __name__ == "__main__":
    optimisation = dict(snakemake.params.optimisation)
    job_setup.start(snakemake.log[0], optimisation.pop("threads"))

    from derotate.stages.sft import train_sft
    from derotate.study.provenance import value_digest
    from derotate.training.fsdp import Compute
    from derotate.training.sft import Adapter, Optimisation

    # which states are kept changes no result
    params = dict(snakemake.params.items())
    compute = Compute(
        **optimisation.pop("compute"), save_state_every=params.pop("save_state_every")
    )
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
        compute=compute,
        origin=value_digest(params),
    )
