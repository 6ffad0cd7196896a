# SPDX-License-Identifier: MIT
"""`derotate plan` on a grid of more than 5,000 cells, beside the ten seconds that it may take.

There is nothing else to time it against, so the baseline is that limit. Only what the solver is
asked for is timed, from the problem to the proof; the outputs count as equal if CBC has proved each
plan optimal, which is to say that its bound is the value of the plan.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from time import perf_counter

from comparison import REPEATS, Comparison, show

from derotate.config.schema import Config, load
from derotate.planning.choose import build_problem, unit_cells
from derotate.planning.costs import Prices
from derotate.planning.solve import Problem, Solution, solve, whole_grid

LIMIT = 10.0
"""Seconds."""
SHARES = (0.03, 0.05, 0.08, 0.3, 0.6)
"""Budgets as parts of what the whole grid takes. The first three are the hard ones: there the
number of runs is traded against what a run has."""


def large_grid() -> Config:
    """Ten bases with ten seeds, RL by three algorithms from 15 starts, and the demo's recipes."""
    starts = [10 * number for number in range(1, 16)]
    algorithms = ("grpo", "ppo", "shuffled")
    return load(
        {
            "study": "large",
            "seeds": list(range(10)),
            "base_seeds": list(range(10)),
            "sft": {"segments": [starts, [300, 400]]},
            "landmarks": {"sft_end": 150, "rl_end": {"algorithm": "grpo", "start": 150}},
            "rl": {"runs": [{"algorithm": name, "starts": starts} for name in algorithms]},
            "diagnostics": {"prompts": 200},
            "oracle": {"steps": [150]},
        }
    )


def problem() -> tuple[Problem, int]:
    """What the solver is given for the large grid, and how many cells can be left out of it."""
    config = large_grid()
    made, _ = build_problem(config, unit_cells(config, Prices({}), "core"), budget=0)
    return made, made.bases * made.seeds * sum(choice.cells for choice in made.choices)


def compare(repeats: int = REPEATS) -> Comparison:
    """Seconds a plan, of a budget after the other."""
    grid, cells = problem()
    budgets = cycle(int(share * whole_grid(grid)) for share in SHARES)
    found: list[Solution] = []

    def ours() -> float:
        asked = replace(grid, budget=next(budgets))
        start = perf_counter()
        found.append(solve(asked))
        return perf_counter() - start

    return Comparison(
        name=f"plan of {cells} cells within a budget",
        baseline="the limit of 10 s",
        unit="plan",
        target=1,
        ours_seconds=tuple(ours() for _ in range(repeats)),
        baseline_seconds=(LIMIT,) * repeats,
        equal=all(plan.optimal and plan.gap == 0 for plan in found),
        checked=f"{sum(plan.optimal for plan in found)} of {len(found)} plans proved optimal",
    )


if __name__ == "__main__":
    show(compare())
