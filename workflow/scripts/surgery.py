# SPDX-License-Identifier: MIT
"""Make one surgery variant of the loaded patient and evaluate it."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.config.evaluation import Evaluation
from derotate.config.recipes import Recipe
from derotate.config.surgery import Guards
from derotate.stages.evaluate import EvaluationJob
from derotate.stages.surgery import SurgeryJob, evaluate_variant

recipe, matched = snakemake.params.recipe["recipe"], snakemake.params.recipe["matched"]
donor, patient = (Path(weights).parent for weights in snakemake.input.weights)
donor_factors, patient_factors = map(Path, snakemake.input.factors)
evaluate_variant(
    SurgeryJob(
        recipe=Recipe(**recipe),
        matched=Recipe(**matched) if matched else None,
        donor=donor,
        factors=(donor_factors, patient_factors),
        recorded=Path(snakemake.input.recorded),
        guards=Guards(**snakemake.params.guards),
        evaluation=EvaluationJob(
            task=snakemake.params.task,
            style=snakemake.params.style,
            checkpoint=patient,
            problems=Path(snakemake.input.problems),
            settings=Evaluation(**snakemake.params.settings),
            seed=int(snakemake.wildcards.seed),
            parquet=Path(snakemake.output.rows),
            csv=Path(snakemake.output.csv),
        ),
        facts=Path(snakemake.output.facts),
    )
)
