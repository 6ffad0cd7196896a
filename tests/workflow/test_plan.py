# SPDX-License-Identifier: MIT
"""With the config that `derotate plan` writes, Snakemake plans the chosen cells and no others."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import yaml
from checkout import TIMESTAMP, dry_run, environment

from derotate.config.schema import Config, load
from derotate.planning.choose import HOUR, build_problem, unit_cells
from derotate.planning.costs import Prices
from derotate.planning.solve import whole_grid
from derotate.study.paths import Paths, Run, runs

STUDY = "config/planned.yaml"
PLAN = "results/planned/plan"
SHARE = 0.5
"""Budget as a fraction of the full grid: enough for several runs, but not for all their cells."""


def write_study(folder: Path) -> None:
    """The smoke study with more seeds, RL starts and a later segment to choose from."""
    values = yaml.safe_load((folder / "config/smoke.yaml").read_text(encoding="utf-8"))
    values |= {"study": "planned", "seeds": [1, 2, 3], "base_seeds": [1, 2]}
    values["sft"]["segments"] = [[4], [8], [12]]
    values["lora"]["steps"] = [4]
    values["rl"]["runs"] += [{"algorithm": "grpo", "starts": [4, 12]}]
    (folder / STUDY).write_text(yaml.safe_dump(values), encoding="utf-8")


def whole_hours(folder: Path) -> float:
    """Estimated core hours of the full grid."""
    config = load(yaml.safe_load((folder / STUDY).read_text(encoding="utf-8")))
    problem, _ = build_problem(config, unit_cells(config, Prices({}), "core"), budget=0)
    return whole_grid(problem) / HOUR


def plan(folder: Path, hours: float) -> pd.DataFrame:
    subprocess.run(
        [sys.executable, "-m", "derotate.cli", "plan", "--gpu-hours", str(hours), "--configfile",
         STUDY],
        cwd=folder, env=environment(folder), check=True, capture_output=True,
    )  # fmt: skip
    return pd.read_csv(folder / PLAN / "plan.csv")


def make_up_to_the_landmarks(folder: Path, config: Config) -> set[str]:
    """Write empty files as if the study had run to its landmarks; returns the finished rules.

    Each file is newer than those before it.
    """
    made = [f"{Paths.of(config).task}/data/problems.csv"]
    bases = {run.base_seed: Paths.of(config, run) for run in runs(config)}
    for paths in bases.values():
        made += [f"{paths.base}/base/{name}"
                 for name in ("model.safetensors", "config.json", "training.csv")]  # fmt: skip
        made += [paths.evaluation("base"), paths.evaluation("base").replace("parquet", "csv")]
    for run in runs(config):
        made += _of_run(config, run)
    for place, name in enumerate(made):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"max_ood": 4, "sft_end": 8}' if name.endswith(".json") else "")
        os.utime(path, (1_000_000 + place, 1_000_000 + place))
    segments = {f"sft_to_{steps[-1]}" for steps in config.sft.segments}
    return segments | {"problems", "base", "evaluate_base", "evaluate_sft", "landmarks"}


def _of_run(config: Config, run: Run) -> list[str]:
    paths, made, after = Paths.of(config, run), [], 0
    for steps in config.sft.segments:
        made.append(f"{paths.run}/sft/samples-{after}-{steps[-1]}.jsonl")
        made += [f"{paths.checkpoint(f'sft-{step}')}/{name}" for step in steps
                 for name in ("model.safetensors", "config.json")]  # fmt: skip
        made += [f"{paths.run}/sft/training-{steps[-1]}.csv",
                 f"{paths.run}/sft/state-{steps[-1]}/{TIMESTAMP}"]  # fmt: skip
        after = steps[-1]
    rows = [paths.evaluation(f"sft-{step}") for step in config.sft.steps]
    return [*made, *rows, *(row.replace("parquet", "csv") for row in rows),
            f"{paths.run}/landmarks.json"]  # fmt: skip


def test_snakemake_plans_exactly_the_chosen_cells(fresh: Path) -> None:
    write_study(fresh)
    table = plan(fresh, SHARE * whole_hours(fresh))
    chosen = table[table["chosen"] == "yes"]
    assert len(chosen.groupby(["base_seed", "seed"])) > 1
    assert {"core"} < set(chosen["unit"]) < set(table["unit"])

    config = load(yaml.safe_load((fresh / PLAN / "config.yaml").read_text(encoding="utf-8")))
    done = make_up_to_the_landmarks(fresh, config)
    jobs = dry_run(fresh, "--rerun-triggers", "mtime", config=f"{PLAN}/config.yaml")

    left = chosen[~chosen["rule"].isin(done)]
    samples = left["cell"].str.fullmatch(r"rest/samples-(0-4|4-8|8-12)")
    expected = Counter(left[~samples]["rule"])
    assert jobs == expected
