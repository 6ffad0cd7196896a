# SPDX-License-Identifier: MIT
"""Draw accuracy by SFT step."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.figures import draw_accuracy_by_step
from derotate.stages.tables import write_step_tables

table = Path(snakemake.output.table)
write_step_tables([Path(path) for path in snakemake.input.evaluations], table)
draw_accuracy_by_step(table, Path(snakemake.output.png).with_suffix(""))
