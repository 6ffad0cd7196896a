# SPDX-License-Identifier: MIT
"""Snakemake as a run on one machine needs it: without the plugin for SLURM.

`python -m derotate.local_snakemake ARGUMENTS` is `python -m snakemake ARGUMENTS`, except that it
does not find that plugin. Snakemake imports each installed executor whenever it starts. This one
brings pandas, and where SLURM's commands are installed but no slurmctld answers, importing it
waits nine seconds for one.
"""

import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any, Final

PLUGIN: Final = "snakemake_executor_plugin_slurm"
PROFILE: Final = ("--profile", "local")
"""Arguments of a run that needs no other executor; they stand side by side."""
EXECUTORS: Final = ("--executor", "-e")


def serves(arguments: Sequence[str]) -> bool:
    """Whether a run with these arguments of Snakemake is one of the local profile alone."""
    local = any(
        tuple(arguments[place : place + 2]) == PROFILE for place in range(len(arguments) - 1)
    )
    names = {argument.partition("=")[0] for argument in arguments}
    return local and arguments.count("--profile") == 1 and names.isdisjoint(EXECUTORS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run Snakemake on these arguments, by default those of this process."""
    listed = pkgutil.iter_modules

    def without_plugin(*arguments: Any, **options: Any) -> Iterator[pkgutil.ModuleInfo]:
        return (module for module in listed(*arguments, **options) if module.name != PLUGIN)

    pkgutil.iter_modules = without_plugin
    try:
        from snakemake.cli import main as snakemake

        snakemake(arguments)
    finally:
        pkgutil.iter_modules = listed


if __name__ == "__main__":
    main()
