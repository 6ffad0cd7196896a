# SPDX-License-Identifier: MIT
"""GRPO or PPO from one SFT checkpoint."""

from importlib import import_module
from pathlib import Path

from derotate import runtime

runtime.start(snakemake.log[0], snakemake.params.settings["threads"])

from derotate.settings import Grpo, Ppo

algorithm = snakemake.params.algorithm
settings = (Ppo if algorithm == "ppo" else Grpo)(**snakemake.params.settings)
stage = "ppo" if algorithm == "ppo" else "grpo"
import_module(f"derotate.stages.{stage}").train(
    snakemake.params.task,
    style=snakemake.params.style,
    start=Path(snakemake.input.weights).parent,
    problems=Path(snakemake.input.problems),
    settings=settings,
    max_new_tokens=snakemake.params.max_new_tokens,
    seed=int(snakemake.wildcards.seed),
    directories={settings.updates: Path(snakemake.output.weights).parent},
    log=Path(snakemake.output.table),
    **({"shuffled": True} if algorithm == "shuffled" else {}),
)
