# SPDX-License-Identifier: MIT
"""Planned beside measured: what a study was expected to take by stage, and what it took."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from derotate.config.schema import Config, ConfigError
from derotate.planning import tables
from derotate.planning.choose import HOUR
from derotate.planning.costs import Device, Prices, devices, measured_jobs, priced
from derotate.planning.units import grid
from derotate.study import record
from derotate.study.paths import runs

TOTAL = "all"


def check(folder: Path, prices: Prices, device: Device = "core") -> tuple[pd.DataFrame, str]:
    """Jobs and device hours of a study by stage, planned and measured.

    The plan is that in the folder, if the study has run with its config; else what `prices` say
    about the config that it ran with.

    Args:
        folder: of a study that has run, e.g. results/demo.
        prices: for a study without a plan.
        device: what is spent.

    Returns:
        Columns stage, planned_jobs, jobs, planned_hours, hours, ratio (measured by planned, missing
        where nothing was planned), and a last row of all stages; and where the plan is from.

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
    """Stage and hours of the chosen cells of a plan's table; None if there is none."""
    if not file.is_file():
        return None
    table = pd.read_csv(file)
    return table[table["chosen"] == "yes"]


def _is_of(plan: pd.DataFrame, config: Config) -> bool:
    """Whether a study ran with the plan's config: the same cells in as many runs."""
    cells = grid(config)
    names = {
        cell.name for part in (cells.core, *(unit.cells for unit in cells.units)) for cell in part
    }
    seeds = {(run.base_seed, run.seed) for run in runs(config)}
    of_runs = plan.dropna(subset=["seed"])
    planned = set(zip(of_runs["base_seed"].astype(int), of_runs["seed"].astype(int), strict=True))
    return set(plan["cell"]) == names and planned == seeds


def _of_config(config: Config, prices: Prices, device: Device) -> pd.DataFrame:
    cells = grid(config)
    every = [*cells.core, *(cell for unit in cells.units for cell in unit.cells)]
    number = {"study": 1, "base": len(config.base_seeds), "run": len(runs(config))}
    rows = [
        (item.cell.stage, item.seconds(number["run"]) * item.devices / HOUR)
        for item in priced(config, every, prices, device)
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
