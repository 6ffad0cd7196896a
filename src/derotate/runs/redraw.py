# SPDX-License-Identifier: MIT
"""Rebuild the tables, figures and verdicts of a study from its rows, without its weights.

This is for a study that was unpacked from an archive, and for a change of style. Snakemake may run
only the aggregating rules, which make tables and figures from the results of all runs. A dry run
first checks that no other job is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from derotate.config.schema import Config
from derotate.runs.dry_run import TARGET_RULE, Job, planned
from derotate.runs.rule_jobs import all_targets, jobs_for, parse
from derotate.runs.single_writer import run
from derotate.study import record
from derotate.study.paths import Paths


class RedrawError(ValueError):
    """Rows of the study are missing, or its folder was moved; one line."""


def redraw(folder: Path, cores: int) -> NoReturn:
    """Replace this process by a Snakemake that makes tables and figures of the study in `folder`.

    Raises:
        ConfigError: the folder is not that of a study.
        RedrawError: the folder was moved, or rows are missing that need evaluation or training.
        DryRunError: Snakemake could not plan.
        BusyError: another run holds this checkout.
    """
    config = record.read(folder)
    expected = Path(Paths.of(config).study)
    if folder.resolve() != expected.resolve():
        raise RedrawError(f"{folder}: expected {expected}, where its rules look; move it there")
    redrawn, allowed = rules_to_redraw(config)
    options = arguments(folder, cores, redrawn, allowed)
    beyond = [job for job in planned(options) if job.rule not in {*redrawn, *allowed}]
    if beyond:
        raise RedrawError(
            f"{folder}: rows are missing that {len(beyond)} jobs would have to make, the first: "
            f"{beyond[0].title}; unpack its archive again, or run the study"
        )
    run(options)


def rules_to_redraw(config: Config) -> tuple[list[str], list[str]]:
    """The rules that are rerun, and the further rules that Snakemake may run.

    The first are the aggregating rules: they have no wildcards, and no job of a base or run needs
    their outputs. (The rule `problems` has no wildcards either, but every evaluation needs its
    output.) The others are checkpoint rules: missing landmarks are chosen again from the rows.
    """
    workflow = parse(config)
    jobs = {job.outputs: job for job in jobs_for(workflow, all_targets(workflow)).values()}
    redrawn = [job.rule for job in jobs.values() if _aggregates(job, jobs.values())]
    checkpoints = [job.rule for job in jobs.values() if job.is_checkpoint]
    return list(dict.fromkeys(redrawn)), [TARGET_RULE, *dict.fromkeys(checkpoints)]


def _aggregates(job: Job, jobs: Iterable[Job]) -> bool:
    users = (other for other in jobs if set(job.outputs) & set(other.inputs))
    return not job.wildcards and not any(other.wildcards for other in users)


def arguments(folder: Path, cores: int, redrawn: list[str], allowed: list[str]) -> list[str]:
    """Arguments of Snakemake: the study's own config, the rules to rerun, the allowed rules.

    Without hooks: they would overwrite the record of the machine on which the rows were made.
    """
    return [
        *("--profile", "local", "--cores", str(cores), "--no-hooks"),
        *("--configfile", str(folder / record.FILE), "--replace-workflow-config"),
        *("--forcerun", *redrawn),
        *("--allowed-rules", *redrawn, *allowed),
    ]
