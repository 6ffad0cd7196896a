# SPDX-License-Identifier: MIT
"""Judge the claims by the reference's tables."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.claims import write_claims

folder = Path(snakemake.output.claims).parent
others = {task: Path(tables) for task, tables in snakemake.params.others.items()}
write_claims(folder, folder, others)
