# SPDX-License-Identifier: MIT
"""The table at the end of `snakemake -n`: what jobs ask for, added up by stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derotate.config import schema as typed
from derotate.config.schema import Config
from derotate.planning.requested_totals import (
    STAGES,
    Request,
    gpus,
    jobs_after_landmarks,
    request_of,
    requests,
    table,
    totals,
)
from derotate.resources.formulas import MB, STATE_BYTES
from derotate.resources.stages import model_size
from derotate.runs.dry_run import Job
from derotate.runs.rule_jobs import all_targets, jobs_for, parse
from derotate.study import paths as study
from derotate.study.paths import Run

CONFIGS = Path(__file__).resolve().parents[3] / "config"
ASKED = {"_cores": 2, "mem_mb": 3000, "runtime": 30, "disk_mb": 40, "gpu": 1}


def config(name: str, **changes: Any) -> Config:
    """The study of a file in config/, with some keys replaced."""
    values = yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8"))
    return typed.load(values | changes)


def job(rule: str, stage: str = "rest", outputs: tuple[str, ...] = (), **wildcards: str) -> Job:
    """A job as a dry run reports it."""
    return Job(
        rule=rule, message="", wildcards=wildcards, inputs=(), outputs=outputs, logs=(),
        benchmark=f"results/demo/benchmarks/{stage}/{rule}.tsv", threads=2, resources=ASKED,
        is_checkpoint=False,
    )  # fmt: skip


requested = st.builds(
    Request,
    stage=st.sampled_from(STAGES),
    later=st.booleans(),
    minutes=st.integers(0, 999),
    threads=st.integers(1, 9),
    gpus=st.integers(0, 4),
    memory=st.integers(0, 9999),
    kept=st.integers(0, 9999),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(requested, min_size=1, max_size=8))
def test_the_last_row_adds_the_stages_up(parts: list[Request]) -> None:
    *rows, every = totals(parts)
    assert [row.name for row in rows] == [
        name for name in STAGES if name in {a.stage for a in parts}
    ]
    assert every.jobs + every.later == len(parts)
    for column in ("jobs", "later", "core_hours", "gpu_hours", "kept"):
        assert getattr(every, column) == pytest.approx(sum(getattr(row, column) for row in rows))
    assert every.memory == max(row.memory for row in rows)


def test_a_job_asks_for_its_time_on_each_core_and_gpu_and_for_its_memory_once() -> None:
    half_an_hour = Request("sft", False, minutes=30, threads=8, gpus=4, memory=2000, kept=500)
    (row, _) = totals(3 * [half_an_hour])
    assert (row.core_hours, row.gpu_hours, row.memory, row.kept) == (12, 6, 2, 1.5)


def test_the_table_has_a_line_a_stage_and_says_that_it_measures_nothing() -> None:
    text = table(totals([request_of(job("tables"), config("demo.yaml"))]))
    head, columns, rest, every, *notes = text.splitlines()
    assert (head, columns.split()[:3]) == ("Requested by stage:", ["stage", "jobs", "later"])
    assert rest.split() == ["rest", "1", "0", "1.0", "0.5", "3.0", "0.04"]
    assert every.split()[0] == "all"
    assert "limits" in notes[0]


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({}, 0),
        ({"gpu": 4}, 4),
        ({"gpu": "2"}, 2),
        ({"gres": "gpu"}, 1),
        ({"gres": "gpu:4"}, 4),
        ({"gres": "gpu:a100:4"}, 4),
        ({"gres": "gpu:a100:2,gpu:v100:1"}, 3),
        ({"gres": "gpu:a100,shard:3"}, 1),
        ({"gres": "shard:3"}, 0),
    ],
)
def test_gpus_are_counted_as_slurm_is_asked_for_them(asked: dict[str, Any], number: int) -> None:
    assert gpus(asked) == number


def test_training_keeps_its_weights_and_the_last_segment_of_sft_its_state_too() -> None:
    demo = config("demo.yaml")
    size = model_size(demo)
    weights = tuple(f"run/sft/step-{step}/model.safetensors" for step in (1, 2, 3))
    ends = [segment[-1] for segment in demo.sft.segments]
    first, last = (f"run/sft/state-{end}" for end in (ends[0], ends[-1]))
    of_weights = 3 * size.bytes_each * size.parameters / MB
    state = STATE_BYTES * size.parameters / MB
    assert request_of(job("sft", "sft", (*weights, first)), demo).kept == pytest.approx(of_weights)
    assert request_of(job("sft", "sft", (*weights, last)), demo).kept == pytest.approx(
        of_weights + state
    )
    assert request_of(job("tables", "rest", ("a.csv",)), demo).kept == ASKED["disk_mb"]


def landmarks_and_tables(made: Config, *pending: Run) -> list[Job]:
    """The planned jobs that tell which runs lack their landmarks."""
    files = tuple(study.Paths.of(made, run).landmarks for run in pending)
    chosen = [replace(job("landmarks", outputs=(file,)), is_checkpoint=True) for file in files]
    return [*chosen, replace(job("tables"), inputs=files)]


def after(made: Config, planned: list[Job]) -> list[Job]:
    """Jobs after the landmarks of a study of which nothing exists."""
    return list(jobs_after_landmarks(parse(made), made, planned))


@pytest.mark.parametrize("name", ["demo.yaml", "smoke.yaml", "tiny.yaml", "rank.yaml"])
def test_the_jobs_after_landmarks_are_those_that_the_tables_need_then(name: str) -> None:
    made = config(name, study="nothing-exists", seeds=[1], base_seeds=[1])
    # a step that is no other landmark, as it is in every study that shows anything
    peak = next(step for step in made.sft.steps if step != made.landmarks.sft_end)
    pairs = study.spectral_pairs(made, peak)
    diagnosed = len(study.diagnosed(made, peak))
    planned = landmarks_and_tables(made, Run(1, 1))
    # all else is planned
    workflow = parse(made)
    static = jobs_for(workflow, all_targets(workflow))
    found = Counter(
        request_of(each, made).stage for each in after(made, [*static.values(), *planned])
    )
    assert found == Counter(
        evaluation=len(list(study.variants(made, peak))),
        surgery=len(pairs) + len({label for pair in pairs for label in pair}) + 2 * diagnosed,
    )


def test_a_base_is_decomposed_once_for_all_its_runs() -> None:
    made = config("demo.yaml", study="nothing-exists", seeds=[1, 2], base_seeds=[1, 2])
    rules = Counter(
        each.rule for each in after(made, landmarks_and_tables(made, *study.runs(made)))
    )
    assert (rules["base_factors"], rules["surgery"]) == (
        2, 4 * len(list(study.variants(made, 1)))
    )  # fmt: skip


def test_nothing_comes_after_the_landmarks_of_other_runs_nor_where_no_job_needs_them() -> None:
    made = config("demo.yaml", study="nothing-exists", seeds=[1, 2])
    landmarks, tables = landmarks_and_tables(made, Run(1, 1))
    assert after(made, [landmarks]) == []
    assert after(made, [tables]) == []
    found = after(made, [landmarks, tables])
    assert {each.wildcards.get("seed", "1") for each in found} == {"1"}


def test_a_planned_job_counts_for_the_study_in_whose_folder_its_benchmark_lies() -> None:
    made = config("demo.yaml")
    other = replace(job("tables"), benchmark="results/other/benchmarks/rest/tables.tsv")
    found = list(requests(parse(made), [made], [job("tables"), other, job("all")]))
    assert [each.stage for each in found] == ["rest", "rest"]
