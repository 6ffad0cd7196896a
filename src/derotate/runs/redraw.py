# SPDX-License-Identifier: MIT
"""Make the tables, figures and verdicts of a study again from its rows, without its weights.

For a study that was restored from an archive, and for a change of style. Snakemake is allowed to
run just the rules that tabulate and draw; before it does, a dry run tells whether that suffices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from derotate.config.schema import Config
from derotate.runs.dry_run import planned
from derotate.runs.single_writer import run
from derotate.study import phase_paths as phase
from derotate.study import record
from derotate.study.paths import Paths

DRAWN: Final = ("accuracy_by_step", "tables", "figures", "claims", "reexamination", "data_card")
"""The rules whose results are made again, in each study."""
PHASE: Final = "phase_diagram"
"""The same, where the study has such a grid."""
ALLOWED: Final = ("all", "landmarks")
"""What Snakemake may run besides: landmarks are chosen from rows, where they are missing."""


class RedrawError(ValueError):
    """A study whose rows do not suffice; one line."""


def redraw(folder: Path, cores: int) -> NoReturn:
    """Become a Snakemake that makes the tables and figures of the study in `folder`.

    Raises:
        ConfigError: the folder is not that of a study.
        RedrawError: rows are missing, so that Snakemake would have to evaluate or to train.
        DryRunError: Snakemake could not plan.
        BusyError: a run is at work here.
    """
    config = record.read(folder)
    expected = Path(Paths.of(config).study)
    if folder.resolve() != expected.resolve():
        raise RedrawError(f"{folder}: expected {expected}, where its rules look; move it there")
    options = arguments(folder, config, cores)
    drawing = {*DRAWN, PHASE, *ALLOWED}
    beyond = [job for job in planned(options) if job.rule not in drawing]
    if beyond:
        raise RedrawError(
            f"{folder}: rows are missing that {len(beyond)} jobs would have to make, the first: "
            f"{beyond[0].title}; restore its archive again, or run the study"
        )
    run(options)


def arguments(folder: Path, config: Config, cores: int) -> list[str]:
    """What Snakemake is told: the study's own config, what to make again, what it may run.

    Without hooks, since the study's folder tells where its rows were made, not where it was drawn.
    """
    drawn = [*DRAWN, *([PHASE] if phase.evaluations(config) else [])]
    return [
        *("--profile", "local", "--cores", str(cores), "--no-hooks"),
        *("--configfile", str(folder / record.FILE), "--replace-workflow-config"),
        *("--forcerun", *drawn),
        *("--allowed-rules", *drawn, *ALLOWED),
    ]
