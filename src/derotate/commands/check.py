# SPDX-License-Identifier: MIT
"""The command `derotate check`: apply the guards to a checkpoint of any size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derotate.commands.errors import BAD_INPUT, one_line

if TYPE_CHECKING:
    from derotate.config.surgery import Guards
    from derotate.spectral.guards import Measured


def check(
    checkpoint: Annotated[Path, typer.Argument(help="Directory of a model in safetensors format.")],
    reference: Annotated[
        Path | None, typer.Option(help="Checkpoint that training started from.")
    ] = None,
    configfile: Annotated[
        Path | None, typer.Option(help="Config with guards (default: those of config/demo.yaml).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for the numbers.")] = None,
) -> None:
    """Check each matrix of a checkpoint with the guards; exit code 2 if refused."""
    from derotate.config.schema import ConfigError, read
    from derotate.models.checkpoint import CheckpointError
    from derotate.spectral.guards import refusals
    from derotate.spectral.inspect_checkpoint import inspect

    with one_line(CheckpointError, ConfigError, OSError):
        guards = read(configfile).guards
        measured = []
        for row in inspect(checkpoint, reference):
            typer.echo(_line(row, guards))
            measured.append(row)
    if out is not None:
        _write(measured, guards, out)
    failed = refusals(str(checkpoint), measured, guards)
    for line in failed:
        typer.echo(f"derotate: {line}", err=True)
    refused = failed and guards.action == "refuse"
    typer.echo(f"{checkpoint}: {len(measured)} matrices, {_verdict(bool(refused), len(failed))}")
    if refused:
        raise typer.Exit(BAD_INPUT)


def _verdict(refused: bool, failures: int) -> str:
    if refused:
        return "refused"
    return f"passes with {failures} warnings" if failures else "passes"


def _line(row: Measured, guards: Guards) -> str:
    change = "" if row.relative_change != row.relative_change else (
        f"  change {row.relative_change:8.4f}"
    )  # fmt: skip
    verdict = "refused" if row.failure(guards) else "ok"
    return f"{row.matrix:60} law {row.marchenko_pastur_distance:7.4f}{change}  {verdict}"


def _write(measured: list[Measured], guards: Guards, out: Path) -> None:
    import pandas as pd

    from derotate.files.tables import write

    table = pd.DataFrame(
        {
            "matrix": row.matrix,
            "marchenko_pastur_distance": row.marchenko_pastur_distance,
            "relative_change": row.relative_change,
            "verdict": "refused" if row.failure(guards) else "ok",
        }
        for row in measured
    )
    write(table, out)
