# SPDX-License-Identifier: MIT
"""Write the data card."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.stages.card import write_data_card

write_data_card(
    snakemake.params.task,
    style=snakemake.params.style,
    mixture=snakemake.params.mixture,
    suites=snakemake.params.suites,
    markdown=Path(snakemake.output.markdown),
    html=Path(snakemake.output.html),
)
