# SPDX-License-Identifier: MIT
"""Re-examine the released spectra."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.reexamination import write_reexamination

write_reexamination(
    papers=Path(snakemake.input.spectra).parent,
    reference=Path(snakemake.input.measured).parent,
    tables=Path(snakemake.output.page).parent,
    figures=Path(snakemake.output.png).parent,
)
