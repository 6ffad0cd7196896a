# SPDX-License-Identifier: MIT
"""Train one SFT segment, or an arm beside SFT."""

from pathlib import Path

from derotate.runs import job_setup

# several processes import this script again, without the object `snakemake`
if __name__ == "__main__":
    optimisation = dict(snakemake.params.optimisation)
    job_setup.start(snakemake.log[0], optimisation.pop("threads"))

    from derotate.config.training import Compute
    from derotate.stages.sft import train_sft
    from derotate.study.provenance import value_digest
    from derotate.training.sft import Adapter, Optimisation, SftJob

    params = dict(snakemake.params.items())
    # how often states are saved changes no result, so it is not part of the digest
    save_state_every = params.pop("save_state_every")
    compute = Compute(**optimisation.pop("compute"), save_state_every=save_state_every)
    adapter = snakemake.params.get("adapter")
    previous, final = snakemake.input.get("state"), snakemake.output.get("state")
    train_sft(
        SftJob(
            optimisation=Optimisation(
                schedule="constant_with_warmup", seed=int(snakemake.wildcards.seed), **optimisation
            ),
            checkpoints={
                step: Path(weights).parent
                for step, weights in zip(
                    snakemake.params.steps, snakemake.output.weights, strict=True
                )
            },
            log=Path(snakemake.output.table),
            compute=compute,
            adapter=Adapter(**adapter) if adapter else None,
            previous_state=Path(previous) if previous else None,
            final_state=Path(final) if final else None,
        ),
        start=Path(snakemake.input.base).parent,
        samples=Path(snakemake.input.samples),
        origin=value_digest(params),
    )
