# SPDX-License-Identifier: MIT
"""Write the findings page and the page on reproducing it."""

from dataclasses import replace
from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.report.sources import Files
from derotate.stages.findings import write_findings, write_reproducing

files = Files(
    page=Path(snakemake.output.findings),
    study=Path(snakemake.input.judged[0]).parent,
    calibration=Path(snakemake.params.calibration),
    published=Path(snakemake.input.published[0]).parent,
    reexamination=Path(snakemake.input.reexamination),
    others={task: Path(folder) for task, folder in snakemake.params.others.items()},
    figures=tuple(Path(figure) for figure in snakemake.input.figures),
    captions=Path(snakemake.input.captions[0]).parent,
)
write_findings(files)
write_reproducing(replace(files, page=Path(snakemake.output.reproducing)))
