# SPDX-License-Identifier: MIT
"""Draw every figure from the reference's tables."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.reference_figures import Roots, draw_pictures

others = {task: Path(folder) for task, folder in snakemake.params.others.items()}
draw_pictures(
    Roots(*map(Path, snakemake.params.roots), others),
    [Path(picture) for picture in snakemake.output],
)
