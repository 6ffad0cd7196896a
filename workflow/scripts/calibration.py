# SPDX-License-Identifier: MIT
"""Calibrate the tests of the claims."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.calibration import write_calibration

write_calibration(
    **snakemake.params.simulated,
    made_with=snakemake.params.made_with,
    table=Path(snakemake.output.table),
    origin=Path(snakemake.output.origin),
)
