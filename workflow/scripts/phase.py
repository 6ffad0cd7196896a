# SPDX-License-Identifier: MIT
"""Tabulate and draw the phase diagram."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.phase import draw_phase, write_phase

files = [Path(path) for path in snakemake.input.evaluations]
table = Path(snakemake.output.table)
write_phase(
    dict(zip(files, snakemake.params.cells, strict=True)), snakemake.params.origin, out=table
)
draw_phase(table, Path(snakemake.output.png).with_suffix(""))
