# SPDX-License-Identifier: MIT
"""The command `derotate operate`: apply one recipe to a checkpoint of any size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from derotate.commands.errors import one_line

if TYPE_CHECKING:
    from derotate.config.recipes import Recipe
    from derotate.config.schema import Config
    from derotate.surgery.export import SurgeryReport

LARGEST = 5
"""Number of matrices shown, by size of edit; the record beside the weights has all."""


def operate(
    donor: Annotated[
        Path, typer.Argument(help="Checkpoint that provides singular values or vectors.")
    ],
    patient: Annotated[Path, typer.Argument(help="Checkpoint of the same model that is edited.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe in the config.")],
    out: Annotated[Path, typer.Option(help="New directory of the edited model.")],
    form: Annotated[
        Literal["checkpoint", "lora"],
        typer.Option("--format", help="A full checkpoint, or a LoRA adapter for the patient."),
    ] = "checkpoint",
    configfile: Annotated[
        Path | None,
        typer.Option(help="Config with recipes and guards (default: those of config/demo.yaml)."),
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="Folder that caches decompositions for further recipes.")
    ] = None,
) -> None:
    """Apply a recipe to a checkpoint matrix by matrix; write a checkpoint or a LoRA adapter."""
    import torch

    from derotate.config.schema import ConfigError, read
    from derotate.models.checkpoint import CheckpointError
    from derotate.spectral.guards import GuardError
    from derotate.surgery import export
    from derotate.surgery.low_rank import NotLowRankError

    with one_line(CheckpointError, ConfigError, GuardError, NotLowRankError, OSError):
        config = read(configfile)
        chosen, matched = find_recipe(config, recipe)
        options = export.Options(
            form, cache=factors, precision=getattr(torch, config.surgery.precision)
        )
        done = export.operate(
            donor, patient, chosen, out, config.guards, matched=matched, options=options
        )
    _show(done, chosen, out)


def find_recipe(config: Config, name: str) -> tuple[Recipe, Recipe | None]:
    """The recipe with this name, and the recipe that its edit size is matched to, if any.

    Raises:
        ConfigError: the config has no recipe with this name.
    """
    from derotate.config.schema import ConfigError

    recipes = {recipe.name: recipe for recipe in config.surgery.recipes}
    if name not in recipes:
        raise ConfigError(f"--recipe: got {name}, expected one of {', '.join(recipes)}")
    chosen = recipes[name]
    return chosen, recipes[chosen.reference[1]] if chosen.reference else None


def _show(done: SurgeryReport, recipe: Recipe, out: Path) -> None:
    from derotate.surgery.export import RECORD

    for row in sorted(done.rows, key=lambda row: -row.edit_norm)[:LARGEST]:
        rank = "" if row.rank is None else f"  rank {row.rank}"
        typer.echo(f"{row.matrix:60} edit {row.edit_norm:9.4g}{rank}")
    if done.amount is not None:
        typer.echo(f"Amount   {done.amount:.4g} (0: patient, 1: donor)")
    typer.echo(f"Edit     {recipe.name}: {len(done.rows)} matrices, norm {done.edit_norm:.4g}")
    if not math.isnan(done.cast_error):
        typer.echo(
            f"Cast     rounding to the stored dtype changes the edit by {done.cast_error:.2%}"
        )
    typer.echo(f"Written  {out}; numbers per matrix: {out / RECORD}")
