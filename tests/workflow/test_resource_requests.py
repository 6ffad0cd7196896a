# SPDX-License-Identifier: MIT
"""The resources that jobs request from a cluster; changing them reruns no job."""

import re
from pathlib import Path

from checkout import SMOKE, dry_run, edit, planned

STUDY = ("--configfile", SMOKE)

TRAINS = re.compile(r"base|phase_base|phase_sft|sft_to_\d+|lora|oracle|diverse|grpo|shuffled|ppo")
SECONDS = {"problems", "data_card", "rl_problems", "landmarks"}
SECONDS |= {"sft_samples", "oracle_samples", "diverse_samples"}
"""Rules whose jobs take seconds for any model, so they are not submitted to a queue."""


def test_every_job_requests_memory_time_and_disk_and_none_requests_a_gpu(fresh: Path) -> None:
    jobs = planned(fresh, *STUDY)["jobs"]
    assert len(jobs) > 30
    for job in jobs:
        asked = job["resources"]
        assert min(asked[name] for name in ("mem_mb", "runtime", "disk_mb")) > 0, job["rule"]
        assert "gpu" not in asked


def test_the_profile_requests_a_gpu_for_exactly_the_rules_that_train(fresh: Path) -> None:
    profile = fresh / "slurm" / "profile.yaml"
    text = profile.read_text(encoding="utf-8")
    block = text[text.index("# set-resources:") :]
    profile.write_text(text.replace(block, re.sub("^# ", "", block, flags=re.MULTILINE)))

    jobs = planned(fresh, *STUDY, "--profile", "slurm")["jobs"]

    given = {"gpu": 1, "gpu_model": "a100", "slurm_partition": "gpu"}
    for job in jobs:
        asked = {name: job["resources"].get(name) for name in given}
        trains = TRAINS.fullmatch(job["rule"])
        assert asked == (given if trains else dict.fromkeys(given)), job["rule"]
    assert {"base", "sft_to_4", "sft_to_8", "grpo", "ppo"} < {job["rule"] for job in jobs}


def test_resources_of_a_rule_override_those_of_training(fresh: Path) -> None:
    jobs = planned(fresh, *STUDY, "--set-resources", "training:mem_mb=7000", "base:mem_mb=9000")[
        "jobs"
    ]
    asked = {job["rule"]: job["resources"]["mem_mb"] for job in jobs if job["rule"] != "all"}
    assert (asked["base"], asked["grpo"], asked["sft_to_8"]) == (9000, 7000, 7000)
    assert asked["evaluate"] < 7000


def test_jobs_of_seconds_are_local_rules(fresh: Path) -> None:
    text = "".join(path.read_text() for path in sorted((fresh / "workflow/rules").glob("*.smk")))
    local = set()
    for rule in re.split(r"^(?= *(?:use rule|rule|checkpoint)\b.*:$)", text, flags=re.MULTILINE):
        # in a loop the name is a keyword: f"{ARM}_samples"
        name = re.match(r" *(?:rule|checkpoint)(?: (\w+))?:\n(?: +name:\n +f?\"(.+)\"\n)?", rule)
        if name and "localrule: True" in rule:
            local.add(name[1] or name[2])
    seconds = {re.sub("^(oracle|diverse)_", "{ARM}_", rule) for rule in SECONDS}
    assert seconds <= local
    assert {"tables", "figures", "claims"} <= local
    assert not [name for name in local if TRAINS.fullmatch(name)]


def test_no_rule_sets_retries(fresh: Path) -> None:
    # it would retry within one allocation, with too little memory; the profile's retries resubmit
    rules = "".join(path.read_text() for path in sorted((fresh / "workflow/rules").glob("*.smk")))
    assert "retries" not in rules
    assert re.search(r"^retries: [1-9]", (fresh / "slurm/profile.yaml").read_text(), re.M)


def test_other_resources_rerun_nothing(study: Path) -> None:
    edit(
        study,
        "src/derotate/resources/formulas.py",
        "HEADROOM: Final = 1.25",
        "HEADROOM: Final = 2.5",
    )
    edit(
        study,
        "src/derotate/resources/formulas.py",
        "CPU_RATE: Final = 1e10",
        "CPU_RATE: Final = 1e9",
    )
    assert dry_run(study, "--set-resources", "training:gpu=1", "--default-resources", "x=1") == {}
