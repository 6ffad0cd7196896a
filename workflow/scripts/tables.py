# SPDX-License-Identifier: MIT
"""Write every table of the study."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0])

from derotate.config.recipes import Recipe
from derotate.stages.run_files import read_landmarks
from derotate.stages.tables import StudyFiles, StudyTables, write_tables


def paths(name):
    """The input files of a name."""
    return [Path(path) for path in snakemake.input.get(name)]


files = StudyFiles(
    problems=Path(snakemake.input.problems),
    evaluations=paths("evaluations") + paths("arms") + paths("surgery"),
    rl_logs=paths("rl_logs"),
    spectra=paths("spectra"),
    states=paths("states"),
    weights=paths("weights"),
    edits=paths("facts"),
)
tables = StudyTables(
    task=snakemake.params.task,
    files=files,
    landmarks=read_landmarks(paths("landmarks"), snakemake.params.rl_end),
    recipes=[Recipe(**recipe) for recipe in snakemake.params.recipes],
)
shown = [Path(path).stem for path in snakemake.output.markdown]
write_tables(tables, snakemake.params.origin, Path(snakemake.output.origin).parent, shown)
