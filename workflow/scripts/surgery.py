# SPDX-License-Identifier: MIT
"""Make one surgery variant of the loaded patient and score it."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.config.evaluation import Evaluation
from derotate.config.recipes import Recipe
from derotate.config.surgery import Guards
from derotate.stages.surgery import Operation, evaluate_variant

recipe, matched = snakemake.params.recipe["recipe"], snakemake.params.recipe["matched"]
donor, patient = (Path(weights).parent for weights in snakemake.input.weights)
factors = map(Path, snakemake.input.factors)
facts = Path(snakemake.output.facts)
evaluate_variant(
    snakemake.params.task,
    style=snakemake.params.style,
    recipe=Recipe(**recipe),
    matched=Recipe(**matched) if matched else None,
    checkpoint=patient,
    recorded=Path(snakemake.input.recorded),
    guards=Guards(**snakemake.params.guards),
    operation=Operation.read(donor, patient, *factors, passing=facts.with_suffix(".factors")),
    problems=Path(snakemake.input.problems),
    settings=Evaluation(**snakemake.params.settings),
    seed=int(snakemake.wildcards.seed),
    parquet=Path(snakemake.output.rows),
    csv=Path(snakemake.output.csv),
    facts=facts,
)
