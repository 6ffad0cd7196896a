# SPDX-License-Identifier: MIT
"""Write every table of the study."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.config.recipes import Recipe
from derotate.stages.tables import read_landmarks, write_tables


def paths(name):
    """The input files of a name."""
    return [Path(path) for path in snakemake.input.get(name)]


write_tables(
    snakemake.params.task,
    problems=Path(snakemake.input.problems),
    evaluations=paths("evaluations") + paths("arms") + paths("surgery"),
    landmarks=read_landmarks(paths("landmarks"), snakemake.params.rl_end),
    rl_logs=paths("rl_logs"),
    spectra=paths("spectra"),
    states=paths("states"),
    weights=paths("weights"),
    facts=paths("facts"),
    recipes=[Recipe(**recipe) for recipe in snakemake.params.recipes],
    origin=snakemake.params.origin,
    folder=Path(snakemake.output.origin).parent,
)
