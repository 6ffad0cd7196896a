# SPDX-License-Identifier: MIT
"""The table at the end of `snakemake -n`: what jobs ask for, added up by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
    Ask,
    ask_of,
    gpus,
    in_words,
    later,
    studies,
    totals,
)
from derotate.resources.formulas import MB, STATE_BYTES
from derotate.resources.stages import model_size
from derotate.runs.dry_run import Job
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


def asked_by(_: str) -> Mapping[str, Any]:
    """What a job of any rule asks for."""
    return ASKED


asks = st.builds(
    Ask,
    stage=st.sampled_from(STAGES),
    jobs=st.integers(1, 9),
    later=st.booleans(),
    minutes=st.integers(0, 999),
    threads=st.integers(1, 9),
    gpus=st.integers(0, 4),
    memory=st.integers(0, 9999),
    kept=st.integers(0, 9999),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(asks, min_size=1, max_size=8))
def test_the_last_row_adds_the_stages_up(parts: list[Ask]) -> None:
    *rows, every = totals(parts)
    assert [row.name for row in rows] == [
        name for name in STAGES if name in {a.stage for a in parts}
    ]
    assert every.jobs + every.later == sum(part.jobs for part in parts)
    for column in ("jobs", "later", "core_hours", "gpu_hours", "kept"):
        assert getattr(every, column) == pytest.approx(sum(getattr(row, column) for row in rows))
    assert every.memory == max(row.memory for row in rows)


def test_a_job_asks_for_its_time_on_each_core_and_gpu_and_for_its_memory_once() -> None:
    half_an_hour = Ask("sft", 3, False, minutes=30, threads=8, gpus=4, memory=2000, kept=500)
    (row, _) = totals([half_an_hour])
    assert (row.core_hours, row.gpu_hours, row.memory, row.kept) == (12, 6, 2, 1.5)


def test_the_table_has_a_line_a_stage_and_says_that_it_measures_nothing() -> None:
    text = in_words(totals([ask_of(job("tables"), config("demo.yaml"))]))
    head, columns, rest, every, *notes = text.splitlines()
    assert (head, columns.split()[:3]) == ("Asked for by stage:", ["stage", "jobs", "later"])
    assert rest.split() == ["rest", "1", "0", "1.0", "0.5", "3.0", "0.04"]
    assert every.split()[0] == "all"
    assert "Limits" in notes[0]


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
    assert ask_of(job("sft", "sft", (*weights, first)), demo).kept == pytest.approx(of_weights)
    assert ask_of(job("sft", "sft", (*weights, last)), demo).kept == pytest.approx(
        of_weights + state
    )
    assert ask_of(job("tables", "rest", ("a.csv",)), demo).kept == ASKED["disk_mb"]


@pytest.mark.parametrize("name", ["demo.yaml", "smoke.yaml", "tiny.yaml", "rank.yaml"])
def test_what_is_foretold_is_what_the_tables_ask_for_once_landmarks_are_there(name: str) -> None:
    made = config(name)
    run = study.runs(made)[0]
    # a step that is no other landmark, as it is in every study that shows anything
    peak = next(step for step in made.sft.steps if step != made.landmarks.sft_end)
    pairs = study.spectral_pairs(made, peak)
    diagnosed = len(study.diagnosed(made, peak))
    expected = Counter(
        evaluation=len(list(study.variants(made, peak))),
        surgery=len(pairs) + len({label for pair in pairs for label in pair}) + 2 * diagnosed,
    )
    one_run = made.model_copy(update={"seeds": (run.seed,), "base_seeds": (run.base_seed,)})
    found: Counter[str] = Counter()
    for ask in later(one_run, {run}, asked_by):
        found[ask.stage] += ask.jobs
    assert found == expected


def test_a_base_that_has_landmarks_in_one_run_is_not_decomposed_again() -> None:
    made = config("demo.yaml", seeds=[1, 2], base_seeds=[1, 2])
    pending = {Run(1, 1), Run(2, 1), Run(2, 2)}
    rules: Counter[str] = Counter()

    def resources(rule: str) -> Mapping[str, Any]:
        rules[rule] += 1
        return ASKED

    jobs = sum(ask.jobs for ask in later(made, pending, resources))
    of_run = sum(ask.jobs for ask in later(made, {Run(1, 1)}, asked_by))
    assert jobs == 3 * of_run + 1  # the base of seed 2
    assert set(rules.values()) == {1}


def test_nothing_is_foretold_of_a_run_with_landmarks_nor_where_no_tables_are_asked_for() -> None:
    demo = config("demo.yaml")
    landmarks = job("landmarks", base_seed="1", seed="1")
    assert sum(ask.later for ask in studies([landmarks], {"": demo}, asked_by)) == 0
    assert sum(ask.later for ask in studies([job("tables")], {"": demo}, asked_by)) == 0
    assert sum(ask.later for ask in studies([landmarks, job("tables")], {"": demo}, asked_by)) > 0


def test_a_further_study_is_foretold_by_its_own_config_and_rules() -> None:
    demo = config("demo.yaml")
    bare = demo.model_copy(
        update={"surgery": demo.surgery.model_copy(update={"recipes": (), "reverse": ()})}
    )
    jobs = [job("tiny_rank_landmarks", base_seed="1", seed="1"), job("tiny_rank_tables"),
            job("landmarks", base_seed="1", seed="1"), job("all")]  # fmt: skip
    names = set()

    def resources(rule: str) -> Mapping[str, Any]:
        names.add(rule)
        return ASKED

    found = list(studies(jobs, {"": demo, "tiny_rank_": bare}, resources))
    assert sum(not ask.later for ask in found) == 3
    assert names >= {"tiny_rank_factors", "tiny_rank_spectra"}
    assert not names & {"tiny_rank_surgery", "factors"}
