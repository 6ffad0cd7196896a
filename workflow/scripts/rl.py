# SPDX-License-Identifier: MIT
"""GRPO or PPO from one SFT checkpoint."""

from importlib import import_module
from pathlib import Path

from derotate.runs import job_setup

# several processes import this script anew, without the object `snakemake`
if __name__ == "__main__":
    job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

    from derotate.config.rl import Grpo, Ppo
    from derotate.study.provenance import value_digest
    from derotate.training.fsdp import Compute

    # which states are kept changes no result
    params = dict(snakemake.params.items())
    every = params.pop("save_state_every")
    stage = "ppo" if params["algorithm"] == "ppo" else "grpo"
    settings = (Ppo if stage == "ppo" else Grpo)(**params["settings"])
    import_module(f"derotate.stages.{stage}").train(
        params["task"],
        style=params["style"],
        start=Path(snakemake.input.weights).parent,
        problems=Path(snakemake.input.problems),
        settings=settings,
        max_new_tokens=params["max_new_tokens"],
        seed=int(snakemake.wildcards.seed),
        directories={settings.updates: Path(snakemake.output.weights).parent},
        log=Path(snakemake.output.table),
        compute=Compute(**params["settings"]["compute"], save_state_every=every),
        origin=value_digest(params),
        **({"shuffled": True} if params["algorithm"] == "shuffled" else {}),
    )
