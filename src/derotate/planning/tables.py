# SPDX-License-Identifier: MIT
"""A plan as tables: one row per cell of the grid, per claim and per stage."""

from __future__ import annotations

import pandas as pd

from derotate.claims.schema import load_claims
from derotate.config.budget import Budget
from derotate.planning.choose import CORE, HOUR, Plan
from derotate.planning.solve import served
from derotate.study.paths import Run, runs

STAGES = tuple(Budget.model_fields)
"""In the order of the budget."""


def cells(plan: Plan) -> pd.DataFrame:
    """All cells of the grid, chosen or not.

    Returns:
        Columns base_seed and seed (missing if the cell belongs to none), unit, rule, cell (name of
        its benchmark), stage, chosen (yes, no), seconds, devices, hours (device hours), source
        (measured, scaled, estimated), claims (those that need its unit; for the core, all).
        Seconds of aggregates are for a study of the plan's size.
    """
    bases, seeds = plan.solution.shape
    chosen_runs = {Run(base, seed) for base in plan.config.base_seeds[:bases]
                   for seed in plan.config.seeds[:seeds]}  # fmt: skip
    owners: dict[str, list[tuple[int | None, int | None]]] = {
        "study": [(None, None)],
        "base": [(base, None) for base in plan.config.base_seeds],
        "run": [(run.base_seed, run.seed) for run in runs(plan.config)],
    }
    within: dict[str, set[tuple[int | None, int | None]]] = {
        "study": {(None, None)},
        "base": {(run.base_seed, None) for run in chosen_runs},
        "run": {(run.base_seed, run.seed) for run in chosen_runs},
    }
    needed = _needed(plan)
    rows = []
    for name, priced in plan.units.items():
        for item in priced:
            level, seconds = item.cell.level, item.seconds(len(chosen_runs))
            for owner in owners[level]:
                chosen = name in plan.chosen and owner in within[level]
                rows.append(
                    (*owner, name, item.cell.rule, item.cell.name, item.cell.stage,
                     "yes" if chosen else "no", seconds, item.devices,
                     seconds * item.devices / HOUR, item.source, needed.get(name, ""))
                )  # fmt: skip
    columns = ["base_seed", "seed", "unit", "rule", "cell", "stage", "chosen", "seconds", "devices",
               "hours", "source", "claims"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns).astype({"base_seed": "Int64", "seed": "Int64"})
    return table.sort_values(["base_seed", "seed"], kind="stable", na_position="first",
                             ignore_index=True)  # fmt: skip


def claims(plan: Plan) -> pd.DataFrame:
    """All claims and the number of runs of the plan that serve each.

    Returns:
        Columns claim, title, weight (0 if the grid cannot serve it), runs, reason (if no run does).
    """
    bases, seeds = plan.solution.shape
    goals = {goal.id: goal for goal in plan.problem.goals}
    rows = []
    for claim in load_claims():
        goal = goals.get(claim.id)
        if goal is None:
            rows.append((claim.id, claim.title, 0.0, 0, plan.unserved[claim.id]))
        elif served(goal, plan.solution.units):
            rows.append((claim.id, claim.title, goal.weight, bases * seeds, ""))
        else:
            rows.append((claim.id, claim.title, goal.weight, 0, "not in this budget"))
    return pd.DataFrame(rows, columns=["claim", "title", "weight", "runs", "reason"])


def stages(cells: pd.DataFrame) -> pd.DataFrame:
    """Jobs and device hours by stage.

    Returns:
        Columns stage, jobs, hours (of the plan), grid_jobs, grid_hours (of the whole grid).
    """
    chosen = cells[cells["chosen"] == "yes"]
    order = pd.Index(STAGES, name="stage")
    counted = {
        "jobs": chosen.groupby("stage").size(),
        "hours": chosen.groupby("stage")["hours"].sum(),
        "grid_jobs": cells.groupby("stage").size(),
        "grid_hours": cells.groupby("stage")["hours"].sum(),
    }
    table = pd.DataFrame({name: part.reindex(order) for name, part in counted.items()}).fillna(0)
    return table.astype({"jobs": int, "grid_jobs": int}).reset_index()


def _needed(plan: Plan) -> dict[str, str]:
    """Unit -> the claims that need it."""
    wanted = {
        name: " ".join(goal.id for goal in plan.problem.goals
                       if any(name in need.units for need in goal.needs))
        for name in plan.units
    }  # fmt: skip
    return {**wanted, CORE: " ".join(goal.id for goal in plan.problem.goals)}
