"""Reinforcement learning.

Needs an SFT checkpoint and the problems of the `rl` fold. Makes the last checkpoint of each run of
the grid, its log by update and its histogram of advantages.
"""

# By block of settings; GRPO and its control share one.
BLOCKS = dict.fromkeys(algorithm.settings for algorithm in RL_ALGORITHMS.values())
RL_COMPUTE = {block: getattr(CONFIG.rl, block).compute for block in BLOCKS}
RL_SETTINGS = {
    block: getattr(CONFIG.rl, block).model_dump(exclude=WITHOUT_STATES) for block in RL_COMPUTE
}
RL_CODE = {
    name: code_digest(
        "derotate.stages.rl",
        f"derotate.training.{algorithm.settings}",
        *(f"{TASK_PACKAGE}.{part}" for part in algorithm.task_parts),
    )
    for name, algorithm in RL_ALGORITHMS.items()
}
for BLOCK in {RL_ALGORITHMS[run.algorithm].settings for run in CONFIG.rl.runs}:
    require_engine(f"rl.{BLOCK}.rollouts", RL_SETTINGS[BLOCK]["rollouts"])

for NAME, ALGORITHM in RL_ALGORITHMS.items():
    BLOCK, SETTINGS = ALGORITHM.settings, RL_SETTINGS[ALGORITHM.settings]

    rule:
        name:
            NAME
        # RL by one algorithm from one SFT checkpoint.
        input:
            weights="<run>/sft/step-{start}/model.safetensors",
            problems=rules.rl_problems.output[0],
        output:
            weights=f"<run>/rl/{NAME}/from-{{start}}/step-{SETTINGS['updates']}/model.safetensors",
            config=f"<run>/rl/{NAME}/from-{{start}}/step-{SETTINGS['updates']}/config.json",
            table=f"<run>/rl/{NAME}/from-{{start}}/log.csv",
            advantages=f"<run>/rl/{NAME}/from-{{start}}/advantages.csv",
        log:
            f"<run>/logs/rl/{NAME}-from-{{start}}.log",
        benchmark:
            f"<run>/benchmarks/rl/{NAME}-from-{{start}}.tsv"
        conda:
            f"../../envs/{engines.ENVIRONMENTS[SETTINGS['rollouts']]}.yaml"
        threads: SETTINGS["threads"] * RL_COMPUTE[BLOCK].processes
        resources:
            **training_resources(
                stage_resources.rl(CONFIG, BLOCK, gpu=GPU), RL_COMPUTE[BLOCK].processes
            ),
        params:
            task=CONFIG.task,
            style=CONFIG.style,
            algorithm=NAME,
            settings=SETTINGS,
            save_state_every=untracked(RL_COMPUTE[BLOCK].save_state_every),
            max_new_tokens=CONFIG.evaluation.max_new_tokens,
            code=RL_CODE[NAME],
            lock=engine_lock(SETTINGS["rollouts"]),
        message:
            f"{ALGORITHM.label} from SFT step {{wildcards.start}} (base {{wildcards.base_seed}}, seed {{wildcards.seed}})"
        script:
            "../scripts/rl.py"
