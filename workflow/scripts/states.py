# SPDX-License-Identifier: MIT
"""Compare hidden states and next-token distributions of a run's checkpoints."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.threads)

from derotate.diagnostics import LANDMARKS
from derotate.stages.states import compare_states

folders = [Path(weights).parent for weights in snakemake.input.weights]
compare_states(
    snakemake.params.task,
    style=snakemake.params.style,
    landmarks=dict(zip(LANDMARKS, folders, strict=True)),
    problems=Path(snakemake.input.problems),
    prompts=snakemake.params.prompts,
    batch_size=snakemake.params.batch_size,
    out=Path(snakemake.output[0]),
)
