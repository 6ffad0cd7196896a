# SPDX-License-Identifier: MIT
"""Draw every figure of the study but the first."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.figures import draw_figures

draw_figures(
    snakemake.params.task,
    tables=Path(snakemake.input[0]).parent,
    papers=Path(snakemake.input.published[0]).parent,
    folder=Path(snakemake.output[0]).parent,
)
