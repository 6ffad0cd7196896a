# SPDX-License-Identifier: MIT
"""Draw one figure from the reference's tables."""

from pathlib import Path

from derotate import runtime

runtime.start(snakemake.log[0])

from derotate.stages.figures import draw_picture

draw_picture(snakemake.wildcards.figure, Path(snakemake.input[0]).parent, Path(snakemake.output[0]))
