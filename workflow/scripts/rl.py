# SPDX-License-Identifier: MIT
"""RL from one SFT checkpoint."""

from pathlib import Path

from derotate.runs import job_setup

# several processes import this script again, without the object `snakemake`
if __name__ == "__main__":
    job_setup.start(snakemake.log[0], snakemake.params.settings["threads"])

    from derotate.config.rl import Rl
    from derotate.stages.rl import TaskEnvironment, train
    from derotate.study.provenance import value_digest
    from derotate.study.rl_algorithms import RL_ALGORITHMS
    from derotate.training.rl_job import RlJob

    params = dict(snakemake.params.items())
    # how often states are saved changes no result, so it is not part of the digest
    save_state_every = params.pop("save_state_every")
    algorithm = RL_ALGORITHMS[params["algorithm"]]
    compute = params["settings"]["compute"] | {"save_state_every": save_state_every}
    block = Rl(**{algorithm.settings: params["settings"] | {"compute": compute}})
    settings = getattr(block, algorithm.settings)
    train(
        algorithm.settings,
        RlJob(
            environment=TaskEnvironment(
                params["task"], params["style"], Path(snakemake.input.problems)
            ),
            start=Path(snakemake.input.weights).parent,
            checkpoints={settings.updates: Path(snakemake.output.weights).parent},
            log=Path(snakemake.output.table),
            settings=settings,
            max_new_tokens=params["max_new_tokens"],
            seed=int(snakemake.wildcards.seed),
            shuffle_rewards=algorithm.shuffled_rewards,
        ),
        origin=value_digest(params),
    )
