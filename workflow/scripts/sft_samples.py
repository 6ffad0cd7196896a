# SPDX-License-Identifier: MIT
"""Write the samples of one SFT segment or arm."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.data import write_sft_samples

write_sft_samples(
    snakemake.params.task,
    style=snakemake.params.style,
    seed=int(snakemake.wildcards.seed),
    batch_size=snakemake.params.batch_size,
    steps=(int(snakemake.wildcards.after), int(snakemake.wildcards.last)),
    out=Path(snakemake.output[0]),
    stream=snakemake.params.stream,
)
