# SPDX-License-Identifier: MIT
"""Cost of a study beside its budget, from Snakemake's benchmark files.

The table is volatile. No rule writes or reads it, so the tables that are compared stay
byte-identical.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from derotate.analysis import rl_logs as logs
from derotate.config.schema import Config
from derotate.files.tables import write
from derotate.study import paths as study
from derotate.study import record

TABLE = "budget.csv"
TOTAL = "all"
"""Value of `stage` in the row of the whole study."""


def write_budget(folder: Path, config: Config) -> pd.DataFrame:
    """Write budget and cost of each stage to `tables/budget.csv`.

    Returns:
        Columns of `logs.budget` and wall_minutes, the time during which at least one job of the
        stage ran. The last row is the sum. Empty if there are no benchmarks.
    """
    costs = read_costs(benchmark_folders(folder, config))
    table = with_wall_time(logs.budget(costs, budget_minutes(config)), costs)
    write(table, folder / "tables" / TABLE)
    return table


def budget_minutes(config: Config) -> dict[str, float]:
    """Budget of each stage in minutes: the config's value per run, times the number of runs."""
    bases, runs = len(config.base_seeds), len(study.runs(config))
    return {
        stage: minutes * (bases if stage == "base" else runs)
        for stage, minutes in config.budget.model_dump().items()
    }


def benchmark_folders(folder: Path, config: Config) -> list[Path]:
    """Benchmark folders of the config's seeds; other seeds of the folder are left out."""
    runs = [record.paths(folder, config, run) for run in study.runs(config)]
    owners = [owner for paths in runs for owner in (paths.study, paths.task, paths.base, paths.run)]
    return [Path(owner) / "benchmarks" for owner in dict.fromkeys(owners)]


def read_costs(folders: Sequence[Path]) -> pd.DataFrame:
    """One row per job: stage, rule (path of its benchmark), seconds, max_rss_mb, ended (Unix time).

    Of a repeated job the last run counts. `ended` is the modification time of the benchmark. Memory
    is missing for jobs that were too short to be measured.
    """
    files = [(folder, file) for folder in folders for file in sorted(folder.rglob("*.tsv"))]
    rows = []
    for folder, file in files:
        measured = pd.read_csv(file, sep="\t")
        stage, *rest = file.relative_to(folder).with_suffix("").parts
        rows.append(
            {
                "stage": stage,
                "rule": "/".join(rest),
                "seconds": float(measured["s"].iloc[-1]),
                "max_rss_mb": pd.to_numeric(measured["max_rss"], errors="coerce").max(),
                "ended": file.stat().st_mtime,
            }
        )
    return pd.DataFrame(rows, columns=["stage", "rule", "seconds", "max_rss_mb", "ended"])


def with_wall_time(table: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Add wall_minutes to a table of `logs.budget`, and the row of the whole study."""
    walls = [_wall_minutes(costs[costs["stage"] == stage]) for stage in table["stage"]]
    total = {
        "stage": TOTAL,
        "budget_minutes": table["budget_minutes"].sum(),
        "took_minutes": table["took_minutes"].sum(),
        "jobs": table["jobs"].sum(),
        "peak_memory_mb": table["peak_memory_mb"].max(),
        "wall_minutes": _wall_minutes(costs),
    }
    table = table.assign(wall_minutes=walls)
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of (start, end) spans, without the gaps between them.

    A study that was resumed the next day does not include the night.
    """
    length, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        length += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return length


def _wall_minutes(costs: pd.DataFrame) -> float:
    ends = costs["ended"]
    return covered(zip(ends - costs["seconds"], ends, strict=True)) / 60
