# SPDX-License-Identifier: MIT
"""Write the samples of the arm whose prompts vary."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.diverse import write_diverse_samples

write_diverse_samples(
    snakemake.params.task,
    style=snakemake.params.style,
    seed=int(snakemake.wildcards.seed),
    batch_size=snakemake.params.batch_size,
    after=int(snakemake.wildcards.after),
    last=int(snakemake.wildcards.last),
    out=Path(snakemake.output[0]),
)
