# SPDX-License-Identifier: MIT
"""SFT in several processes asks for a GPU for each of them, on one node."""

import re
from pathlib import Path

from checkout import SMOKE, planned


def test_sft_asks_for_a_gpu_and_cores_for_each_process(fresh: Path) -> None:
    profile = fresh / "slurm" / "profile.yaml"
    text = profile.read_text(encoding="utf-8")
    block = text[text.index("# set-resources:") :]
    profile.write_text(text.replace(block, re.sub("^# ", "", block, flags=re.MULTILINE)))
    four = "sft={compute: {processes: 4}}"

    jobs = planned(
        fresh, "--configfile", SMOKE, "--config", four, "--cores", "8", "--profile", "slurm"
    )["jobs"]

    for job in jobs:
        sharded = re.fullmatch(r"sft_to_\d+|lora|oracle|diverse|phase_sft", job["rule"])
        asked = job["resources"]
        if sharded:
            assert (asked["gpu"], asked["nodes"], asked["_cores"]) == (4, 1, 4), job["rule"]
        else:
            assert asked.get("gpu", 1) == 1, job["rule"]
            assert "nodes" not in asked, job["rule"]
    assert {"sft_to_4", "sft_to_8", "lora", "grpo"} < {job["rule"] for job in jobs}
