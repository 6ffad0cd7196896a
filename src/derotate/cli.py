# SPDX-License-Identifier: MIT
"""The command line of derotate.

Each command imports its modules when it is called: `derotate --help` does not import torch. An
error in the input is one line on stderr and exit code 2. Tracebacks are for bugs.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from derotate.commands.check import check
from derotate.commands.errors import one_line
from derotate.commands.grade import grade
from derotate.commands.operate import operate
from derotate.study.reference import TABLES

PAIR: Final = Path("results/reference/pair")
PAGE: Final = Path("results/explore.html")
REFERENCE: Final = Path(TABLES)
DEMO: Final = Path("config/demo.yaml")
RESULTS: Final = Path("results")

app = typer.Typer(
    help=__doc__.splitlines()[0],
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(
    help="Print or check the config, its JSON schema and the schemas of tables.",
    no_args_is_help=True,
)
app.add_typer(config_app, name="config")


def main() -> None:
    """Entry point of the `derotate` command."""
    app()


@config_app.command("default")
def config_default() -> None:
    """Print all keys with descriptions and defaults (config/demo.yaml)."""
    from derotate.config.documentation import default_yaml
    from derotate.config.schema import DEFAULT_TASK, Config, mixture_descriptions

    typer.echo(default_yaml(Config, mixture_descriptions(DEFAULT_TASK)), nl=False)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the config (workflow/schemas/config.schema.json)."""
    from derotate.config.documentation import json_schema
    from derotate.config.schema import Config

    typer.echo(json_schema(Config), nl=False)


@config_app.command("tables")
def config_tables() -> None:
    """Print columns, units and keys of all tables (docs/tables.md)."""
    from derotate.report.tables_page import tables_page

    typer.echo(tables_page(), nl=False)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="A config file.")]) -> None:
    """Validate a config file; missing keys have their defaults."""
    from derotate.config.schema import ConfigError, read

    with one_line(ConfigError, OSError):
        study = read(file).study
    typer.echo(f"{file}: valid config; results are written to results/{study}/")


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments of Snakemake, after --.")
    ] = None,
) -> None:
    """Run Snakemake as the only writer in this directory; clean up after killed runs first."""
    from derotate.runs.single_writer import BusyError, MissingConfigError, run
    from derotate.runs.slurm.cluster import SlurmError
    from derotate.runs.slurm.orphaned_jobs import require_none

    with one_line(BusyError, MissingConfigError, SlurmError, code=1):
        require_none(Path.cwd())
        run(arguments or [])


@app.command(context_settings={"ignore_unknown_options": True})
def slurm(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments of Snakemake, after --.")
    ] = None,
    orphans: Annotated[
        Literal["wait", "cancel"],
        typer.Option(help="What to do with jobs that a killed run left in the queue."),
    ] = "wait",
) -> None:
    """Run Snakemake on SLURM (--profile slurm) as the only writer; resumes after a kill."""
    from derotate.runs.single_writer import BusyError, MissingConfigError
    from derotate.runs.slurm.cluster import SlurmError
    from derotate.runs.slurm.start import run

    with one_line(BusyError, MissingConfigError, SlurmError, code=1):
        run(arguments or [], orphans)


@app.command()
def summary(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished study, e.g. results/demo.")],
) -> None:
    """Print the results of a study, its cost compared with its budget, and where to find more."""
    from rich.console import Console

    from derotate.config.schema import ConfigError
    from derotate.runs.summary import StudyError, show

    with one_line(ConfigError, StudyError):
        show(folder, Console())


@app.command()
def plan(
    gpu_hours: Annotated[
        float | None, typer.Option(help="Budget in device hours (see --device).")
    ] = None,
    configfile: Annotated[Path, typer.Option(help="The study whose cells are chosen.")] = DEMO,
    costs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a study with measured costs; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder (default: results/STUDY/plan).")] = None,
    device: Annotated[
        Literal["core", "gpu"],
        typer.Option(help="Device of the budget: a CPU core, or a GPU, which jobs with torch use."),
    ] = "core",
    time_limit: Annotated[float, typer.Option(help="Time limit of the solver in seconds.")] = 60.0,
    check: Annotated[
        Path | None,
        typer.Option(help="Compare the plan of this study with its measured cost instead."),
    ] = None,
) -> None:
    """Choose the cells of a study that serve the most claims within a budget of device hours."""
    from rich.console import Console

    from derotate.config.schema import ConfigError, read
    from derotate.planning import report as command
    from derotate.planning.solve import PlanError

    with one_line(ConfigError, PlanError, OSError):
        if check is not None:
            command.show_check(check, Console(), costs=costs or [], device=device)
            return
        if gpu_hours is None:
            raise PlanError("--gpu-hours: missing, expected a number of hours, e.g. 2")
        command.plan(read(configfile), gpu_hours, Console(), costs=costs or [], out=out,
                     device=device, seconds=time_limit)  # fmt: skip


@app.command()
def compare(
    new: Annotated[
        Path, typer.Argument(help="Folder with the tables of a run, e.g. results/tiny/tables.")
    ],
    reference: Annotated[Path, typer.Option(help="Folder with the reference tables.")] = REFERENCE,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="All digits must be equal (same seeds, same CPU model)."),
    ] = False,
    rows: Annotated[int, typer.Option(help="Rows shown per table.")] = 10,
    out: Annotated[Path | None, typer.Option(help="CSV file for all rows.")] = None,
) -> None:
    """Compare a run with the reference study; exit code 1 if a number is out of tolerance.

    The tolerance is a 95 % interval of the difference. It combines the intervals of both tables
    (sampling of problems) with the variance between seeds, corrected for the number of rows.
    """
    from rich.console import Console

    from derotate.commands.compare import show

    with one_line(ValueError):
        agrees = show(new, reference, Console(), exact=exact, rows=rows, out=out)
    if not agrees:
        raise typer.Exit(1)


@app.command()
def explore(
    pair: Annotated[
        Path, typer.Option(help="Folder of an exported pair: checkpoints, problems, tables.")
    ] = PAIR,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = PAGE,
    recipe: Annotated[str, typer.Option(help="Recipe to apply.")] = "directions-top20",
    donor: Annotated[Path | None, typer.Option(help="Your own checkpoint as donor.")] = None,
    patient: Annotated[Path | None, typer.Option(help="Your own checkpoint as patient.")] = None,
    style: Annotated[
        str | None, typer.Option(help="Prompts: compact, or natural for pretrained models.")
    ] = None,
) -> None:
    """Write a page about a pair of trained checkpoints, with one recipe applied; no training."""
    from rich.console import Console

    from derotate.config.schema import ConfigError
    from derotate.explore.pair import PairError
    from derotate.explore.show import explore
    from derotate.models.checkpoint import CheckpointError
    from derotate.spectral.guards import GuardError

    with one_line(PairError, ConfigError, CheckpointError, GuardError):
        explore(pair, out, Console(), recipe_name=recipe, donor=donor, patient=patient, style=style)


@app.command()
def explore_export(
    study: Annotated[Path, typer.Argument(help="Folder of a finished study, e.g. results/demo.")],
    out: Annotated[Path, typer.Argument(help="Folder of the pair.")] = PAIR,
    base_seed: Annotated[
        int | None, typer.Option(help="Base seed of the run (default: first).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run (default: first).")] = None,
) -> None:
    """Make the pair that `explore` shows from one run of a finished study."""
    from derotate.config.schema import ConfigError
    from derotate.explore.export import export, run_of
    from derotate.explore.pair import PairError
    from derotate.models.checkpoint import CheckpointError

    with one_line(PairError, ConfigError, CheckpointError):
        lost = export(study, out, run_of(study, base_seed, seed))
    typer.echo(lost.to_string(index=False))
    typer.echo(f"Pair: {out}")


@app.command()
def archive(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/demo.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write (default: results/STUDY.tar.gz).")
    ] = None,
) -> None:
    """Pack the results of a study, and the inputs of its tables and figures, without weights."""
    from derotate.config.schema import ConfigError
    from derotate.runs.archive import ArchiveError, pack

    with one_line(ConfigError, ArchiveError, OSError):
        packed = pack(folder, out)
    typer.echo(f"Archive  {packed.file}: {len(packed.members)} files, {packed.size / 1e6:.1f} MB")
    typer.echo(f"SHA-256  {packed.sha256}")
    typer.echo(
        f"Excluded {packed.excluded_files} files, {packed.excluded_size / 1e6:.1f} MB: weights, "
        "factors, training states, samples"
    )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="Archive written by `derotate archive`.")],
    into: Annotated[Path, typer.Option(help="Folder of all studies.")] = RESULTS,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that differ.")] = False,
) -> None:
    """Check every byte of an archive, then unpack it into the folder of its study."""
    from derotate.runs.archive import ArchiveError
    from derotate.runs.unpack import restore

    with one_line(ArchiveError, OSError):
        restored = restore(file, into, force=force)
    counts = f"{restored.written} files written, {restored.unchanged} unchanged"
    typer.echo(f"Restored {restored.folder}: {counts}")
    if into == RESULTS:
        typer.echo(f"Next     make redraw STUDY={restored.folder}")


@app.command()
def redraw(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/demo.")],
    cores: Annotated[int, typer.Option(help="Number of parallel jobs.")] = 2,
) -> None:
    """Rebuild tables, figures and verdicts of a study from its rows, without training."""
    from derotate.config.schema import ConfigError
    from derotate.runs.dry_run import DryRunError
    from derotate.runs.redraw import RedrawError, redraw
    from derotate.runs.single_writer import BusyError

    with one_line(ConfigError, RedrawError, DryRunError), one_line(BusyError, code=1):
        redraw(folder, cores)


@app.command()
def why(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of a study (default: that of the last run).")
    ] = None,
) -> None:
    """Report on the last run: failed jobs, their logs, and the cost of a rerun."""
    from rich.console import Console

    from derotate.runs.failure_report import WhyError, explain

    with one_line(WhyError):
        explain(folder, Console())


app.command()(grade)
app.command()(check)
app.command()(operate)


if __name__ == "__main__":
    main()
