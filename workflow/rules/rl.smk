"""Reinforcement learning.

Needs an SFT checkpoint and the problems of the `rl` fold. Makes the last checkpoint of each run of
the grid, its log by update and its histogram of advantages.
"""

RL_TASK_CODE = [f"{TASK_PACKAGE}.{part}" for part in ("prompts", "rewards")]
RL_CODE = {
    "grpo": code_digest("derotate.stages.rl", "derotate.training.grpo", *RL_TASK_CODE),
    "ppo": code_digest(
        "derotate.stages.rl", "derotate.training.ppo", *RL_TASK_CODE, f"{TASK_PACKAGE}.feedback"
    ),
}
SAMPLERS = {"grpo": CONFIG.rl.grpo.rollouts, "ppo": CONFIG.rl.ppo.rollouts}
for name in {"ppo" if run.algorithm == "ppo" else "grpo" for run in CONFIG.rl.runs}:
    require_engine(f"rl.{name}.rollouts", SAMPLERS[name])
RL_COMPUTE = {"grpo": CONFIG.rl.grpo.compute, "ppo": CONFIG.rl.ppo.compute}
RL_SETTINGS = {
    name: getattr(CONFIG.rl, name).model_dump(exclude=WITHOUT_STATES) for name in RL_COMPUTE
}


rule grpo:
    """GRPO from one SFT checkpoint, by trl."""
    input:
        weights="<run>/sft/step-{start}/model.safetensors",
        problems=rules.rl_problems.output[0],
    output:
        weights=f"<run>/rl/grpo/from-{{start}}/step-{CONFIG.rl.grpo.updates}/model.safetensors",
        config=f"<run>/rl/grpo/from-{{start}}/step-{CONFIG.rl.grpo.updates}/config.json",
        table="<run>/rl/grpo/from-{start}/log.csv",
        advantages="<run>/rl/grpo/from-{start}/advantages.csv",
    log:
        "<run>/logs/rl/grpo-from-{start}.log",
    benchmark:
        "<run>/benchmarks/rl/grpo-from-{start}.tsv"
    conda:
        f"../../envs/{engines.ENVIRONMENTS[SAMPLERS['grpo']]}.yaml"
    threads: CONFIG.rl.grpo.threads * RL_COMPUTE["grpo"].processes
    resources:
        **trains(stage_resources.rl(CONFIG, "grpo", gpu=GPU), RL_COMPUTE["grpo"].processes),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        algorithm="grpo",
        settings=RL_SETTINGS["grpo"],
        save_state_every=not_compared(RL_COMPUTE["grpo"].save_state_every),
        max_new_tokens=CONFIG.evaluation.max_new_tokens,
        code=RL_CODE["grpo"],
        lock=lock_of(SAMPLERS["grpo"]),
    message:
        "GRPO from SFT step {wildcards.start} (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/rl.py"


use rule grpo as shuffled with:
    output:
        weights=f"<run>/rl/shuffled/from-{{start}}/step-{CONFIG.rl.grpo.updates}/model.safetensors",
        config=f"<run>/rl/shuffled/from-{{start}}/step-{CONFIG.rl.grpo.updates}/config.json",
        table="<run>/rl/shuffled/from-{start}/log.csv",
        advantages="<run>/rl/shuffled/from-{start}/advantages.csv",
    log:
        "<run>/logs/rl/shuffled-from-{start}.log",
    benchmark:
        "<run>/benchmarks/rl/shuffled-from-{start}.tsv"
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        algorithm="shuffled",
        settings=RL_SETTINGS["grpo"],
        save_state_every=not_compared(RL_COMPUTE["grpo"].save_state_every),
        max_new_tokens=CONFIG.evaluation.max_new_tokens,
        code=RL_CODE["grpo"],
        lock=lock_of(SAMPLERS["grpo"]),
    message:
        "GRPO with shuffled rewards from SFT step {wildcards.start} (base {wildcards.base_seed}, seed {wildcards.seed})"


use rule grpo as ppo with:
    output:
        weights=f"<run>/rl/ppo/from-{{start}}/step-{CONFIG.rl.ppo.updates}/model.safetensors",
        config=f"<run>/rl/ppo/from-{{start}}/step-{CONFIG.rl.ppo.updates}/config.json",
        table="<run>/rl/ppo/from-{start}/log.csv",
        advantages="<run>/rl/ppo/from-{start}/advantages.csv",
    log:
        "<run>/logs/rl/ppo-from-{start}.log",
    benchmark:
        "<run>/benchmarks/rl/ppo-from-{start}.tsv"
    conda:
        f"../../envs/{engines.ENVIRONMENTS[SAMPLERS['ppo']]}.yaml"
    threads: CONFIG.rl.ppo.threads * RL_COMPUTE["ppo"].processes
    resources:
        **trains(stage_resources.rl(CONFIG, "ppo", gpu=GPU), RL_COMPUTE["ppo"].processes),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        algorithm="ppo",
        settings=RL_SETTINGS["ppo"],
        save_state_every=not_compared(RL_COMPUTE["ppo"].save_state_every),
        max_new_tokens=CONFIG.evaluation.max_new_tokens,
        code=RL_CODE["ppo"],
        lock=lock_of(SAMPLERS["ppo"]),
    message:
        "PPO from SFT step {wildcards.start} (base {wildcards.base_seed}, seed {wildcards.seed})"
