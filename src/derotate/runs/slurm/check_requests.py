# SPDX-License-Identifier: MIT
"""Check partitions and GPU types in the profile and on the command line.

These are known before the workflow is read. Resources that are functions of a job are checked by
sbatch, job by job.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from derotate.runs.slurm.cluster import Inventory, SlurmError, gpu_types

PROFILE: Final = Path("slurm/profile.yaml")

_KEYS: Final = ("slurm_partition", "gpu_model", "gres")
_DEFAULTS: Final = "--default-resources"
_ON_COMMAND_LINE: Final = re.compile(rf"^(?:\w+:)?({'|'.join(_KEYS)})=(.+)$")
_NAME: Final = re.compile(r"[\w.,:-]+")
"""Other values are expressions that Snakemake evaluates for each job."""


def require(arguments: Sequence[str], has: Inventory, profile: Path = PROFILE) -> None:
    """Check that the requested partitions and GPU types exist.

    Args:
        arguments: of Snakemake; they override the profile.
        has: partitions and GPU types of the cluster.
        profile: file of the profile.

    Raises:
        SlurmError: the first name that does not exist, with the existing ones.
    """
    for where, key, value in (*_of_profile(profile, arguments), *_of(arguments)):
        if not _NAME.fullmatch(value):
            continue
        if key == "slurm_partition":
            named, known, what = value.split(","), has.partitions, "partition"
        else:
            named = [value] if key == "gpu_model" else gpu_types(value)
            known, what = has.gpus - {""}, "GPU type"
        unknown = set(named) - known - {""}
        if unknown:
            raise SlurmError(
                f"{where}: {key}: got {value}, the cluster has no {what} {sorted(unknown)[0]}; "
                f"expected one of {', '.join(sorted(known)) or '(none)'}"
            )


def _of_profile(profile: Path, arguments: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Origin, key and value of settings in the profile that the command line does not override."""
    try:
        values = yaml.safe_load(profile.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SlurmError(f"{profile}: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise SlurmError(f"{profile}: expected keys with values, got {values!r}")
    defaults = None if _DEFAULTS in arguments else values.get("default-resources")
    blocks = {"default-resources": defaults} | {
        f"set-resources: {rule}": resources
        for rule, resources in _pairs(values.get("set-resources"))
        if isinstance(resources, Mapping)
    }
    for block, resources in blocks.items():
        for key, value in _pairs(resources):
            if key in _KEYS and value is not None:
                yield f"{profile}: {block}", key, str(value)


def _pairs(values: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of a block, which Snakemake also takes as a list of KEY=VALUE."""
    if isinstance(values, Mapping):
        yield from values.items()
    elif isinstance(values, list):
        for item in values:
            key, _, value = str(item).partition("=")
            yield key, value


def _of(arguments: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Origin, key and value of settings on the command line."""
    for argument in arguments:
        given = _ON_COMMAND_LINE.match(argument)
        if given:
            yield "command line", given[1], given[2]
