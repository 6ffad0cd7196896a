# SPDX-License-Identifier: MIT
"""Write the page on reproducing."""

from pathlib import Path

from derotate import runtime

runtime.start(snakemake.log[0])

from derotate.findings.sources import Files
from derotate.stages.findings import write_reproducing

write_reproducing(
    Files(
        page=Path(snakemake.output.page),
        study=Path(snakemake.input.judged[0]).parent,
        calibration=Path(snakemake.params.calibration),
        published=Path(snakemake.input.published[0]).parent,
        reexamination=Path(snakemake.input.reexamination),
    )
)
