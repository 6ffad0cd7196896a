# SPDX-License-Identifier: MIT
"""What a failed job holds up, and what it costs to repeat, by jobs like it."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from derotate.cli import app
from derotate.runs.dry_run import Job, waiting
from derotate.runs.failure_report import Cost, cost, study_of

STUDY = Path("results/demo")
RUN = "results/demo/general_points/base-1/seed-101"
COSTS = pd.DataFrame(
    [
        ("evaluation", "base", 8.0, 300.0),
        ("evaluation", "sft-60", 10.0, 350.0),
        ("evaluation", "sft-600", 14.0, None),
        ("evaluation", "from-sft-60-into-sft-600/rollback", 20.0, 400.0),
        ("sft", "to-600", 40.0, 900.0),
        ("sft", "to-60", 5.0, 900.0),
    ],
    columns=["stage", "rule", "seconds", "max_rss_mb"],
).assign(ended=0.0)


def job(
    rule: str,
    *,
    needs: tuple[str, ...] = (),
    makes: tuple[str, ...] = (),
    benchmark: str | None = None,
    **wildcards: str,
) -> Job:
    values = {"base_seed": "1", "seed": "101", **wildcards}
    return Job(rule, "", values, needs, makes, (), benchmark, 1, {}, False)


def test_a_like_job_differs_in_its_wildcards_alone() -> None:
    evaluate = job("evaluate_sft", benchmark=f"{RUN}/benchmarks/evaluation/sft-40.tsv", step="40")
    source = "results/demo/**/benchmarks/evaluation/sft-*.tsv"
    assert cost(evaluate, COSTS, STUDY) == Cost(12.0, 350.0, 2, source)


def test_a_variant_of_surgery_is_like_those_of_other_recipes_and_donors() -> None:
    surgery = job(
        "surgery",
        benchmark=f"{RUN}/benchmarks/evaluation/from-sft-40-into-sft-600/directions.tsv",
        donor="sft-40", patient="sft-600", recipe="directions",
    )  # fmt: skip
    found = cost(surgery, COSTS, STUDY)
    assert found is not None
    assert (found.seconds, found.jobs) == (20.0, 1)


def test_a_seed_that_reads_like_a_step_makes_no_other_segment_alike() -> None:
    segment = job("sft_to_60", benchmark=f"{RUN}/benchmarks/sft/to-60.tsv", seed="60")
    found = cost(segment, COSTS, STUDY)
    assert found is not None
    assert (found.seconds, found.jobs) == (5.0, 1)


def test_what_was_never_measured_has_no_cost() -> None:
    grpo = job("grpo", benchmark=f"{RUN}/benchmarks/rl/grpo-from-60.tsv", start="60")
    assert cost(grpo, COSTS, STUDY) is None
    assert cost(grpo, COSTS.iloc[:0], STUDY) is None
    assert cost(job("all"), COSTS, STUDY) is None


def test_what_waits_is_all_that_needs_it_through_others_and_each_once() -> None:
    sft = job("sft", makes=("sft",))
    evaluate = job("evaluate", needs=("sft", "problems"), makes=("rows",))
    grpo = job("grpo", needs=("sft",), makes=("rl",))
    tables = job("tables", needs=("rows", "rl"), makes=("tables",))
    other = job("evaluate", needs=("base",), makes=("base rows",))
    assert waiting(sft, [sft, evaluate, grpo, tables, other]) == [evaluate, grpo, tables]
    assert waiting(grpo, [sft, evaluate, grpo, tables, other]) == [tables]
    assert waiting(tables, [sft, evaluate, grpo, tables, other]) == []


def test_a_job_without_a_message_is_called_by_its_rule_and_wildcards() -> None:
    assert job("lora").title == "lora (base_seed 1, seed 101)"


@pytest.mark.parametrize(
    ("command", "study"),
    [
        ("snakemake --profile local --cores 2", "demo"),
        ("snakemake --configfile config/smoke.yaml --profile local", "smoke"),
        ("snakemake --configfile=config/tiny.yaml", "tiny"),
        ("snakemake --configfile config/smoke.yaml config/absent.yaml", "smoke"),
        ("snakemake --configfile config/smoke.yaml --config study=mine seeds=[1]", "mine"),
    ],
)
def test_the_study_of_a_run_is_told_by_its_command_line(
    monkeypatch: pytest.MonkeyPatch, command: str, study: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    assert study_of(command.split()) == study


@pytest.mark.parametrize("folder", [[], ["results/demo"]])
def test_where_nothing_has_run_there_is_nothing_to_explain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["why", *folder])
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "no run is recorded in .snakemake/log/" in refused.stderr
    assert list(tmp_path.iterdir()) == []
