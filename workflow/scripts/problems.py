# SPDX-License-Identifier: MIT
"""Write the problems that every checkpoint is evaluated on."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.data import write_problems

write_problems(snakemake.params.task, snakemake.params.suites, Path(snakemake.output[0]))
