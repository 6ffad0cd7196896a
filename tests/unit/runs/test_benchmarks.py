# SPDX-License-Identifier: MIT
"""What a study took: each job once, pauses not at all, other seeds never."""

import os
from pathlib import Path

import pandas as pd
import pytest

from derotate.config.schema import load
from derotate.runs.benchmarks import TOTAL, covered, read_costs, write_budget
from derotate.study import paths as study
from derotate.study import record

COLUMNS = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"


def benchmark(file: Path, seconds: float, ended: float, memory: str = "100.5") -> None:
    """A file as Snakemake writes it when a job ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{COLUMNS}\n{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t50\t1\n")
    os.utime(file, (ended, ended))


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([], 0),
        ([(0, 5)], 5),
        ([(0, 5), (5, 7)], 7),
        ([(0, 5), (3, 7)], 7),  # two jobs side by side
        ([(0, 10), (2, 3)], 10),  # one inside the other
        ([(20, 30), (0, 10)], 20),  # a night between them
        ([(0, 5), (0, 5)], 5),
    ],
)
def test_time_on_the_clock_counts_once_and_skips_pauses(
    spans: list[tuple[float, float]], length: float
) -> None:
    assert covered(spans) == length


def test_a_job_is_named_by_its_stage_and_path(tmp_path: Path) -> None:
    benchmark(tmp_path / "evaluation/from-sft-4-into-sft-8/rollback.tsv", 12.5, 1000)
    benchmark(tmp_path / "rest/card.tsv", 0.2, 1000, memory="-")
    costs = read_costs([tmp_path]).set_index("stage")
    assert costs.loc["evaluation", "rule"] == "from-sft-4-into-sft-8/rollback"
    assert costs.loc["evaluation", "seconds"] == 12.5
    assert pd.isna(costs.loc["rest", "max_rss_mb"])


def test_the_budget_is_compared_with_the_jobs_of_the_studys_own_seeds(tmp_path: Path) -> None:
    config = load({"study": "mine", "seeds": [2], "budget": {"base": 4, "sft": 1}})
    own = record.paths(tmp_path, config, study.Run(1, 2))
    other = record.paths(tmp_path, config, study.Run(1, 3))
    benchmark(Path(own.base) / "benchmarks/base/base.tsv", 60, 60)
    benchmark(Path(own.run) / "benchmarks/sft/to-100.tsv", 90, 150)
    benchmark(Path(own.run) / "benchmarks/evaluation/sft-100.tsv", 30, 165)
    benchmark(Path(other.run) / "benchmarks/sft/to-100.tsv", 999, 5000)

    table = write_budget(tmp_path, config).set_index("stage")
    assert table.loc["base", "budget_minutes"] == 4
    assert table.loc["sft", "took_minutes"] == 1.5
    assert table.loc["rl", "jobs"] == 0
    assert table.loc[TOTAL, "took_minutes"] == 3.0
    # the evaluation's first 15 seconds ran beside SFT's last
    assert table.loc[TOTAL, "wall_minutes"] == pytest.approx(2.75)
    assert pd.read_csv(tmp_path / "tables/budget.csv")["stage"].tolist() == list(table.index)


def test_every_run_has_the_budget_of_one(tmp_path: Path) -> None:
    config = load({"seeds": [1, 2], "base_seeds": [1, 2, 3], "budget": {"base": 4, "rl": 1.5}})
    minutes = write_budget(tmp_path, config).set_index("stage")["budget_minutes"]
    assert minutes["base"] == 12
    assert minutes["rl"] == 9


def test_a_study_whose_benchmarks_are_gone_took_nothing_that_is_known(tmp_path: Path) -> None:
    table = write_budget(tmp_path, load({}))
    assert (table["took_minutes"] == 0).all()
    assert table["jobs"].sum() == 0
