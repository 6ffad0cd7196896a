# SPDX-License-Identifier: MIT
"""`snakemake -n` ends with the requested resources by stage, before and behind landmarks."""

import re
from pathlib import Path

import pytest
from checkout import JOB_STATS, snakemake

TABLE = re.compile(r"^Requested by stage:\n(stage .*\n(?:\w+ .*\d\n)+)", re.MULTILINE)
FOLDER = "results/counted/general_points/base-1/seed-1"


def asked(said: str) -> dict[str, dict[str, float]]:
    """The rows of the table by stage; the output holds exactly one such table."""
    ((table),) = TABLE.findall(said)
    columns, *rows = (re.split(r" {2,}", line) for line in table.splitlines())
    return {
        name: {
            key: float(cell.replace(",", "")) for key, cell in zip(columns[1:], cells, strict=True)
        }
        for name, *cells in rows
    }


def test_the_table_counts_the_jobs_that_snakemake_counts(fresh: Path) -> None:
    said = snakemake(fresh, "--dry-run", "--set-resources", "training:gpu=2").stdout
    rows = asked(said)
    *_, counted = JOB_STATS.findall(said)
    jobs = {rule: int(count) for rule, count in map(str.split, counted.splitlines())}
    assert rows["all"]["jobs"] == jobs["total"] - jobs["all"]
    assert rows["base"]["jobs"] == jobs["base"] == 1
    assert rows["surgery"]["jobs"] == 0 < rows["surgery"]["later"]
    # the base is trained on one core
    assert rows["base"]["GPU hours"] == pytest.approx(2 * rows["base"]["core hours"], abs=0.1)
    assert min(rows[stage]["GPU hours"] for stage in ("base", "sft", "rl")) > 0
    assert rows["evaluation"]["GPU hours"] == 0


def test_jobs_after_landmarks_request_what_the_table_predicts(fresh: Path) -> None:
    # paths contain steps, so these jobs can be requested without landmarks
    peak, end, healed = "sft-4", "sft-8", "rl-grpo-8-1"
    pairs = [("base", peak), ("base", end), (peak, end), (peak, healed), (end, healed)]
    recipes = [(peak, end, "directions-all"), (peak, end, "rollback"), (end, healed, "rollback")]
    targets = [f"{FOLDER}/spectra/from-{a}-to-{b}.parquet" for a, b in pairs]
    targets += [f"{FOLDER}/diagnostics/{kind}-from-{peak}-to-{end}-to-{healed}.parquet"
                for kind in ("states", "weights")]  # fmt: skip
    targets += [f"{FOLDER}/evaluations/surgery/from-{a}-into-{b}/{name}.parquet"
                for a, b, name in recipes]  # fmt: skip

    listed = asked(snakemake(fresh, "--dry-run", "--no-hooks", *targets).stdout)["surgery"]
    foretold = asked(snakemake(fresh, "--dry-run").stdout)

    assert foretold["evaluation"]["later"] == len(recipes)
    expected = {**listed, "jobs": 0, "later": listed["jobs"]}
    assert foretold["surgery"] == expected


def test_a_quiet_dry_run_has_no_table(fresh: Path) -> None:
    said = snakemake(fresh, "--dry-run", "--quiet", "progress")
    assert said.returncode == 0
    assert "tables" in said.stdout
    assert "Asked for" not in said.stdout


def test_the_setting_of_the_papers_is_planned_on_gpus(fresh: Path) -> None:
    said = snakemake(
        fresh, "--dry-run", "--set-resources", "training:gpu=1", config="config/paper.yaml"
    ).stdout
    rows = asked(said)
    *_, counted = JOB_STATS.findall(said)
    jobs = {rule: int(count) for rule, count in map(str.split, counted.splitlines())}
    assert sum(count for rule, count in jobs.items() if rule.endswith("fetch")) == 4
    assert not any(rule.endswith("base") and "evaluate" not in rule for rule in jobs)
    assert rows["all"]["jobs"] == jobs["total"] - jobs["all"]
    for stage in ("sft", "rl", "evaluation"):
        assert rows[stage]["GPU hours"] > 1
    # AdamW in float32 of the larger model, 10.7 billion parameters
    assert rows["sft"]["memory (GB)"] > 16 * 10.7
    # a checkpoint a segment's step, in bfloat16
    assert rows["sft"]["kept (GB)"] > 3 * 16 * 2 * 10.7
