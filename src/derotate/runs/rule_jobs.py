# SPDX-License-Identifier: MIT
"""The jobs that make some files according to the workflow's rules, whether or not the files exist.

A dry run lists the jobs that Snakemake would run now. This module lists all jobs: those of a whole
study for `derotate plan`, and those that a checkpoint rule has yet to create. Rules are parsed and
their output patterns are matched; no DAG is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from derotate.runs.dry_run import TARGET_RULE, Job

if TYPE_CHECKING:
    from snakemake.workflow import Workflow

    from derotate.config.schema import Config

CHECKOUT: Final = Path(__file__).resolve().parents[3]
_UNLIMITED: Final = 10**6
"""Number of cores; Snakemake caps the threads of a job at it."""


@cache
def parse(config: Config) -> Workflow:
    """The workflow of one study as Snakemake parses it; nothing is planned or run."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        ConfigSettings,
        DeploymentMethod,
        DeploymentSettings,
        OutputSettings,
        ResourceSettings,
    )

    values = config.model_dump(mode="json") | {"also": []}
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        parsed = api.workflow(
            resource_settings=ResourceSettings(cores=_UNLIMITED),
            config_settings=ConfigSettings(config=values, replace_workflow_config=True),
            # with conda, no rule checks whether its engine is installed here
            deployment_settings=DeploymentSettings(deployment_method={DeploymentMethod.CONDA}),
            snakefile=CHECKOUT / "workflow" / "Snakefile",
            workdir=CHECKOUT,
        )
        # the API does not expose the rules
        return parsed._workflow


def all_targets(workflow: Workflow) -> list[str]:
    """The inputs of `rule all`, without those that a checkpoint rule has yet to create."""
    files, *_ = workflow.get_rule(TARGET_RULE).expand_input({})
    return [str(file) for file in files]


def jobs_for(workflow: Workflow, targets: Iterable[str]) -> dict[str, Job]:
    """The jobs that make some files, with all jobs that they depend on.

    Args:
        workflow: a parsed workflow.
        targets: files; a file that no rule makes is skipped.

    Returns:
        Output file -> its job.
    """
    from snakemake.output_index import OutputIndex

    index = OutputIndex(workflow.rules)
    found: dict[str, Job] = {}
    todo, seen = list(targets), set[str]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        producers = index.match_producers(path)
        if producers:
            # no two rules of a study make the same file
            (rule,) = producers
            job = _job(rule, rule.get_wildcards(path))
            found |= dict.fromkeys(job.outputs, job)
            seen.update(job.outputs)
            todo += job.inputs
    return found


def job_of_benchmark(workflow: Workflow, paths: Iterable[str]) -> Job | None:
    """The job that writes one of these benchmark files; None if no rule does."""
    for path in paths:
        for rule in workflow.rules:
            match = rule.benchmark and rule.benchmark.match(path)
            if match:
                return _job(rule, match.groupdict())
    return None


def _job(rule: Any, wildcards: dict[str, str]) -> Job:
    from snakemake.iocontainers import Wildcards

    inputs, *_ = rule.expand_input(wildcards)
    outputs, _ = rule.expand_output(wildcards)
    values = Wildcards(fromdict=wildcards)
    resources = rule.expand_resources(values, inputs, 1)
    job = SimpleNamespace(resources=resources)
    params, *_ = rule.expand_params(values, inputs, outputs, job)
    benchmark = rule.expand_benchmark(wildcards)
    return Job(
        rule=rule.name,
        message="",
        wildcards=wildcards,
        inputs=tuple(map(str, inputs)),
        outputs=tuple(map(str, outputs)),
        logs=(),
        benchmark=str(benchmark) if benchmark else None,
        threads=int(resources["_cores"]),
        resources=dict(resources.items()),
        is_checkpoint=bool(rule.is_checkpoint),
        script=Path(str(rule.script or "")).stem,
        params=dict(params.items()),
    )
