# SPDX-License-Identifier: MIT
"""Training in several processes requests one GPU per process, on one node."""

import re
from pathlib import Path

from checkout import SMOKE, planned, snakemake


def test_training_requests_a_gpu_and_a_core_per_process(fresh: Path) -> None:
    profile = fresh / "slurm" / "profile.yaml"
    text = profile.read_text(encoding="utf-8")
    block = text[text.index("# set-resources:") :]
    profile.write_text(text.replace(block, re.sub("^# ", "", block, flags=re.MULTILINE)))
    four = "sft={compute: {processes: 4}}"
    two = "rl={grpo: {compute: {processes: 2}}}"

    jobs = planned(
        fresh, "--configfile", SMOKE, "--config", four, two, "--cores", "8", "--profile", "slurm"
    )["jobs"]

    processes = {r"sft_to_\d+|lora|oracle|diverse|phase_sft": 4, "grpo|shuffled": 2}
    for job in jobs:
        asked = job["resources"]
        count = sum(n for rules, n in processes.items() if re.fullmatch(rules, job["rule"]))
        if count:
            assert (asked["gpu"], asked["nodes"], asked["_cores"]) == (count, 1, count), job["rule"]
        else:
            assert asked.get("gpu", 1) == 1, job["rule"]
            assert "nodes" not in asked, job["rule"]
    assert {"sft_to_4", "sft_to_8", "lora", "grpo", "ppo"} < {job["rule"] for job in jobs}


def test_a_config_can_request_gpus_without_the_profile(fresh: Path) -> None:
    two = "sft={compute: {processes: 2}}"
    jobs = planned(fresh, "--configfile", SMOKE, "--config", "gpu=true", two)["jobs"]
    gpus = {job["rule"]: job["resources"].get("gpu", 0) for job in jobs}
    assert (gpus["sft_to_4"], gpus["lora"], gpus["grpo"], gpus["ppo"]) == (2, 2, 1, 1)
    # a tiny model is scored on the CPU
    assert (gpus["evaluate_sft"], gpus["problems"]) == (0, 0)
    longest = {job["rule"]: job["resources"]["runtime"] for job in jobs}
    on_cores = {
        job["rule"]: job["resources"]["runtime"]
        for job in planned(fresh, "--configfile", SMOKE)["jobs"]
    }
    assert longest["grpo"] <= on_cores["grpo"]


def test_the_setting_of_the_papers_is_planned_in_gpu_hours(fresh: Path) -> None:
    shown = snakemake(fresh, "--dry-run", config="config/paper.yaml").stdout
    table = shown[shown.index("Requested by stage:") :].splitlines()
    hours = {row[0]: float(row[4].replace(",", "")) for row in map(str.split, table[2:6])}
    assert hours["sft"] > 100
    assert hours["rl"] > 100
    assert hours["evaluation"] > 100
