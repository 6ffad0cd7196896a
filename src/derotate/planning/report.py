# SPDX-License-Identifier: MIT
"""The command `derotate plan`: choose, write and print a plan; compare it with measured costs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from derotate.config.schema import Config, ConfigError
from derotate.figures.style import save
from derotate.files.atomic import atomic_write
from derotate.files.tables import write
from derotate.planning import tables
from derotate.planning.choose import HOUR, Plan, choose
from derotate.planning.costs import Device, Prices, devices, measured_jobs, read_prices
from derotate.planning.figure import draw
from derotate.planning.restrict import restricted, to_yaml
from derotate.planning.solve import cost, whole_grid
from derotate.planning.units import grid, priced
from derotate.study import record
from derotate.study.paths import Paths, runs

CONFIG = "config.yaml"
TABLE = "plan.csv"
CHECK = "check.csv"
TOTAL = "all"


def plan(
    config: Config,
    hours: float,
    console: Console,
    *,
    costs: Sequence[Path] = (),
    out: Path | None = None,
    device: Device = "core",
    seconds: float = 60.0,
) -> None:
    """Choose the cells of a study for a budget, write the plan and print a summary.

    Args:
        config: of the whole grid.
        hours: the budget, in device hours.
        console: where to print.
        costs: folders of studies with measured costs; by default those of this study and the demo,
            if they have run.
        out: folder of the plan; by default `plan` in the folder of the study.
        device: unit of the budget, a core or a GPU.
        seconds: time limit of the solver.

    Raises:
        PlanError: no plan fits the budget, or none was found in time.
        ConfigError: a folder of `costs` is not that of a study.
    """
    own = Path(Paths.of(config).study)
    known = read_prices(costs) if costs else default_prices(own)
    made = choose(config, hours, known, device, seconds)
    folder = out or own / "plan"
    cells, claims = tables.cells(made), tables.claims(made)
    stages = tables.stages(cells)
    says = plan_sentences(made, cells)
    write(cells, folder / TABLE)
    write(claims, folder / "claims.csv")
    with atomic_write(folder / "solution.json") as part:
        part.write_text(json.dumps(_solution(made), indent=2) + "\n", encoding="utf-8")
    save(draw(stages, claims, _title(made), device), folder / "plan")
    part_of = restricted(config, made.solution.shape, made.solution.units)
    with atomic_write(folder / CONFIG) as part:
        part.write_text(to_yaml(part_of, says[0]), encoding="utf-8")
    console.print(_table(stages))
    run = "derotate run -- --profile local --cores 2 --configfile"
    for line in (
        *says,
        f"Plan     {folder}/{TABLE}, claims.csv, plan.png",
        f"Run it   {run} {folder}/{CONFIG}",
        f"Then     derotate plan --check {own}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_check(
    folder: Path, console: Console, *, costs: Sequence[Path] = (), device: Device = "core"
) -> None:
    """Print planned and measured costs of a study, and write them to its folder.

    Raises:
        ConfigError: the folder is not that of a study that has run.
    """
    table, origin = check(folder, read_prices(costs), device)
    write(table, folder / "plan" / CHECK)
    console.print(_table(table))
    line = f"Planned by {origin}, in {device} hours: {folder}/plan/{CHECK}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def default_prices(own: Path) -> Prices:
    """Measured costs of this study and of the demo, if they have run."""
    known = dict.fromkeys((own, Path("results/demo")))
    return read_prices(folder for folder in known if (folder / record.FILE).is_file())


def plan_sentences(plan: Plan, cells: pd.DataFrame) -> list[str]:
    """A plan in three lines: its cost, the claims it serves, whether it is proved optimal."""
    bases, seeds = plan.solution.shape
    spent = cost(plan.problem, plan.solution.shape, plan.solution.units) / HOUR
    full = whole_grid(plan.problem) / HOUR
    names = [goal.id for goal in plan.problem.goals if plan.serves(goal)]
    source = cells[cells["chosen"] == "yes"].groupby("source")["hours"].sum()
    shares = 100 * source / source.sum()
    sources = ", ".join(f"{share:.0f} % {name}" for name, share in shares.items() if share > 0.5)
    if plan.solution.optimal:
        word = "proved optimal"
    else:
        word = f"not proved optimal, gap {100 * plan.solution.gap:.1f} %"
    return [
        f"{spent:.2f} of {plan.hours:g} {plan.device} hours (the whole grid takes {full:.2f}): "
        f"{bases} x {seeds} runs (bases x seeds), {(cells['chosen'] == 'yes').sum()} of "
        f"{len(cells)} cells, {len(names)} of {len(plan.problem.goals)} testable claims",
        f"Claims   {' '.join(names)}; hours are {sources}",
        f"Solver   {word} (value {plan.solution.value:.4f}, bound {plan.solution.bound:.4f})",
    ]


def _title(plan: Plan) -> str:
    bases, seeds = plan.solution.shape
    goals = plan.problem.goals
    return (
        f"Plan for {plan.hours:g} {plan.device} hours of {whole_grid(plan.problem) / HOUR:.3g}: "
        f"{bases} x {seeds} runs (bases x seeds), "
        f"{sum(plan.serves(goal) for goal in goals)} of {len(goals)} claims"
    )


def _solution(plan: Plan) -> dict[str, object]:
    """The solver's result without its run time, so that equal plans have equal bytes."""
    solution = plan.solution
    return {
        "budget_hours": plan.hours,
        "device": plan.device,
        "planned_hours": cost(plan.problem, solution.shape, solution.units) / HOUR,
        "base_seeds": solution.shape[0],
        "seeds": solution.shape[1],
        "units": sorted(solution.units),
        "value": solution.value,
        "bound": solution.bound,
        "optimal": solution.optimal,
    }


def _table(rows: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(rows.columns):
        table.add_column(str(name).replace("_", " "), justify="right" if place else "left")
    for row in rows.itertuples(index=False):
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


def check(folder: Path, prices: Prices, device: Device = "core") -> tuple[pd.DataFrame, str]:
    """Jobs and device hours of a study by stage, planned and measured.

    The planned costs are those of the plan in the folder if the study ran with the plan's config,
    else those that `prices` predict for the config of the run.

    Args:
        folder: of a study that has run, e.g. results/demo.
        prices: for a study without a plan.
        device: unit of the hours, a core or a GPU.

    Returns:
        Columns stage, planned_jobs, jobs, planned_hours, hours, ratio (measured / planned, missing
        if nothing was planned), with a last row for all stages; and the origin of the plan.

    Raises:
        ConfigError: the folder is not that of a study, or it has measured nothing.
    """
    config = record.read(folder)
    measured = [(stage, seconds * devices(work, device) / HOUR)
                for stage, seconds, work in measured_jobs(folder, config)]  # fmt: skip
    if not measured:
        raise ConfigError(
            f"{folder}: no benchmarks, expected those of jobs that have run; run the study first"
        )
    own = folder / "plan" / "plan.csv"
    plan, origin = _planned(own), str(own)
    if plan is None or not _is_of(plan, config):
        plan, origin = _of_config(config, prices, device), "the config that it ran with"
    return _beside(plan, measured), origin


def _planned(file: Path) -> pd.DataFrame | None:
    """Stage and hours of the chosen cells in a plan's table; None if there is no plan."""
    if not file.is_file():
        return None
    table = pd.read_csv(file)
    return table[table["chosen"] == "yes"]


def _is_of(plan: pd.DataFrame, config: Config) -> bool:
    """Whether a study ran with the plan's config: the same cells and the same number of runs."""
    names = {cell.name for cell in grid(config).all_cells}
    seeds = {(run.base_seed, run.seed) for run in runs(config)}
    of_runs = plan.dropna(subset=["seed"])
    planned = set(zip(of_runs["base_seed"].astype(int), of_runs["seed"].astype(int), strict=True))
    return set(plan["cell"]) == names and planned == seeds


def _of_config(config: Config, prices: Prices, device: Device) -> pd.DataFrame:
    number = {"study": 1, "base": len(config.base_seeds), "run": len(runs(config))}
    rows = [
        (item.cell.stage, item.seconds(number["run"]) * item.devices / HOUR)
        for item in priced(grid(config).all_cells, prices, device)
        for _ in range(number[item.cell.level])
    ]
    return pd.DataFrame(rows, columns=["stage", "hours"])


def _beside(plan: pd.DataFrame, measured: Iterable[tuple[str, float]]) -> pd.DataFrame:
    took = pd.DataFrame(measured, columns=["stage", "hours"]).groupby("stage")["hours"]
    expected = plan.groupby("stage")["hours"]
    order = pd.Index(tables.STAGES, name="stage")
    columns = {
        "planned_jobs": expected.size(),
        "jobs": took.size(),
        "planned_hours": expected.sum(),
        "hours": took.sum(),
    }
    table = pd.DataFrame({name: part.reindex(order) for name, part in columns.items()}).fillna(0)
    table.loc[TOTAL] = table.sum()
    table["ratio"] = (table["hours"] / table["planned_hours"]).where(table["planned_hours"] > 0)
    return table.astype({"planned_jobs": int, "jobs": int}).rename_axis("stage").reset_index()
