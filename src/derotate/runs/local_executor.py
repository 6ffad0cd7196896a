# SPDX-License-Identifier: MIT
"""Snakemake with its own executors only, for runs on one machine.

`python -m derotate.runs.local_executor ARGUMENTS` is `python -m snakemake ARGUMENTS` without the
executor plugins that are installed beside Snakemake. Snakemake imports all of them whenever it
starts. The SLURM plugin imports pandas. Where SLURM's commands are installed but no slurmctld
answers, its import also waits nine seconds.
"""

from collections.abc import Sequence
from typing import Final

PROFILE: Final = ("--profile", "local")
"""Arguments of a run that needs no other executor; they stand side by side."""
EXECUTOR_OPTIONS: Final = ("--executor", "-e")


def is_local(arguments: Sequence[str]) -> bool:
    """Whether Snakemake with these arguments uses the local profile and no other executor."""
    profile = any(
        tuple(arguments[place : place + 2]) == PROFILE for place in range(len(arguments) - 1)
    )
    options = {argument.partition("=")[0] for argument in arguments}
    return profile and arguments.count("--profile") == 1 and options.isdisjoint(EXECUTOR_OPTIONS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run Snakemake with these arguments, by default those of this process."""
    _register_executors()
    from snakemake.cli import main as snakemake

    snakemake(arguments)


def _register_executors() -> None:
    """Fill Snakemake's registry of executors before Snakemake searches for plugins."""
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    # The registry is a singleton. Its __init__ searches for plugins unless `plugins` is set.
    registry = ExecutorPluginRegistry.__new__(ExecutorPluginRegistry)
    if hasattr(registry, "plugins"):
        return
    registry.plugins = {}
    from snakemake.executors import dryrun, local, touch

    for name, module in {"local": local, "dryrun": dryrun, "touch": touch}.items():
        registry.register_plugin(name, module)


if __name__ == "__main__":
    main()
