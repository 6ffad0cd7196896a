# SPDX-License-Identifier: MIT
"""Compare the weights of a run's checkpoints."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.threads)

from derotate.diagnostics import LANDMARKS
from derotate.stages.weights import compare_weights

folders = [Path(weights).parent for weights in snakemake.input.weights]
compare_weights(
    landmarks=dict(zip(LANDMARKS, folders, strict=True)),
    factors=dict(zip(LANDMARKS, map(Path, snakemake.input.factors), strict=True)),
    out=Path(snakemake.output[0]),
)
