# SPDX-License-Identifier: MIT
"""Judge the claims by the tables."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.claims import write_verdicts

folder = Path(snakemake.output.claims).parent
others = {study: Path(tables) for study, tables in snakemake.params.others.items()}
write_verdicts(folder, folder, others)
