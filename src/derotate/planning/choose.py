# SPDX-License-Identifier: MIT
"""Build the optimisation problem from a config and prices; turn its solution into a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from derotate.claims.schema import load_claims
from derotate.config.schema import Config
from derotate.planning.claims_served import Goal, goals
from derotate.planning.costs import Device, Prices
from derotate.planning.solve import Choice, Cost, PlanError, Problem, Solution, served, solve
from derotate.planning.units import PricedCell, grid, priced

HOUR = 3600
CORE = "core"
"""Unit of the cells that every plan has."""


@dataclass(frozen=True)
class Plan:
    """The chosen units, and the problem they were chosen from.

    Attributes:
        config: the study with the whole grid.
        device: unit of the budget, a core or a GPU.
        hours: the budget, in device hours.
        units: unit -> its cells with their prices, the core first.
        problem: input of the solver.
        solution: its result.
        unserved: claims that the grid cannot serve, by id, with the reason.
    """

    config: Config
    device: Device
    hours: float
    units: dict[str, list[PricedCell]]
    problem: Problem
    solution: Solution
    unserved: dict[str, str]

    @property
    def chosen(self) -> frozenset[str]:
        """The units of the plan, including the core."""
        return self.solution.units | {CORE}

    def serves(self, goal: Goal) -> bool:
        """Whether the plan's runs serve a claim."""
        return served(goal, self.solution.units)


def choose(
    config: Config, hours: float, prices: Prices, device: Device = "core", seconds: float = 60.0
) -> Plan:
    """The cells of a study that serve the most claims within a budget of device hours.

    Args:
        config: of the whole grid.
        hours: the budget.
        prices: measured costs.
        device: unit of the budget, a core or a GPU.
        seconds: time limit of the solver, which then returns the best plan so far.

    Raises:
        PlanError: no plan fits the budget; one line with the smallest budget that has a plan.
    """
    if not 0 < hours < float("inf"):
        raise PlanError(f"--gpu-hours: got {hours:g}, expected a number of hours above 0")
    units = unit_cells(config, prices, device)
    problem, unserved = build_problem(config, units, int(hours * HOUR))
    if not problem.shapes:
        smallest = ceil(problem.smallest_budget / HOUR * 1000) / 1000
        raise PlanError(
            f"--gpu-hours: got {hours:g} {device} hours, expected at least {smallest:.3f}, the "
            "cost of one run up to the end of SFT; raise --gpu-hours or reduce the study"
        )
    return Plan(config, device, hours, units, problem, solve(problem, seconds), unserved)


def unit_cells(config: Config, prices: Prices, device: Device) -> dict[str, list[PricedCell]]:
    """Unit -> its cells with their costs, the core first."""
    known = grid(config)
    units = {CORE: known.core, **known.cells}
    return {name: priced(own, prices, device) for name, own in units.items()}


def build_problem(
    config: Config, units: Mapping[str, list[PricedCell]], budget: int
) -> tuple[Problem, dict[str, str]]:
    """The problem for a budget in device seconds, and the claims that the grid cannot serve."""
    found, unserved = goals(config, load_claims())
    known = grid(config)
    choices = [
        Choice(name, unit_cost(units[name]), len(units[name]), known.needs[name],
               name in known.support)
        for name in known.cells
    ]  # fmt: skip
    problem = Problem(
        bases=len(config.base_seeds),
        seeds=len(config.seeds),
        core=unit_cost(units[CORE]),
        choices=tuple(choices),
        goals=tuple(found),
        budget=budget,
    )
    return problem, unserved


def unit_cost(cells: Iterable[PricedCell]) -> Cost:
    """Device seconds of a unit."""
    total = {"study": 0, "base": 0, "run": 0}
    for cell in cells:
        total[cell.cell.level] += cell.fixed * cell.devices
        total["run"] += cell.per_run * cell.devices
    return Cost(**total)
