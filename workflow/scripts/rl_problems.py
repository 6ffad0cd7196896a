# SPDX-License-Identifier: MIT
"""Write the problems that RL samples from."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.data import write_rl_problems

write_rl_problems(
    snakemake.params.task,
    seed=int(snakemake.wildcards.seed),
    count=snakemake.params.problems,
    out=Path(snakemake.output[0]),
)
