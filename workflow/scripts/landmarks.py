# SPDX-License-Identifier: MIT
"""Choose the landmarks of a run."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.landmarks import choose

choose(
    dict(zip(snakemake.params.steps, map(Path, snakemake.input), strict=True)),
    sft_end=snakemake.params.sft_end,
    out=Path(snakemake.output[0]),
)
