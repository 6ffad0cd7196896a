# SPDX-License-Identifier: MIT
"""Evaluate one checkpoint."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.config.evaluation import Evaluation
from derotate.stages.evaluate import EvaluationJob, evaluate_checkpoint

evaluate_checkpoint(
    EvaluationJob(
        task=snakemake.params.task,
        style=snakemake.params.style,
        checkpoint=Path(snakemake.input.weights).parent,
        problems=Path(snakemake.input.problems),
        settings=Evaluation(**snakemake.params.settings),
        seed=snakemake.params.seed,
        parquet=Path(snakemake.output.rows),
        csv=Path(snakemake.output.csv),
    )
)
