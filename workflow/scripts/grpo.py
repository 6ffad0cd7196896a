# SPDX-License-Identifier: MIT
"""GRPO from one SFT checkpoint."""

from pathlib import Path

from derotate import runtime

runtime.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.config import Grpo
from derotate.stages.rl import train_grpo

settings = Grpo(**snakemake.params.settings)
train_grpo(
    snakemake.params.task,
    style=snakemake.params.style,
    start=Path(snakemake.input.weights).parent,
    problems=Path(snakemake.input.problems),
    settings=settings,
    max_new_tokens=snakemake.params.max_new_tokens,
    seed=int(snakemake.wildcards.seed),
    directories={settings.updates: Path(snakemake.output.weights).parent},
    log=Path(snakemake.output.table),
)
