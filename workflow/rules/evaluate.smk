"""Evaluation of checkpoints.

Needs a checkpoint and the problems. Makes one table row a problem and attempt, as Parquet for the
aggregates and as CSV to compare runs by.
"""

ENGINE = CONFIG.evaluation.engine
require_engine("evaluation.engine", ENGINE)
ENGINE_CODE = f"derotate.evaluation.engines.{ENGINE}"
EVALUATION_CODE = code_digest(
    "derotate.stages.evaluate", ENGINE_CODE, f"{TASK_PACKAGE}.prompts", f"{TASK_PACKAGE}.feedback"
)
EVALUATION_SETTINGS = CONFIG.evaluation.model_dump(exclude={"suites"})


rule evaluate_base:
    """Score the base."""
    input:
        weights=PATHS.weights("base"),
        problems=rules.problems.output[0],
    output:
        rows="<base>/evaluations/base.parquet",
        csv="<base>/evaluations/base.csv",
    log:
        "<base>/logs/evaluation/base.log",
    benchmark:
        "<base>/benchmarks/evaluation/base.tsv"
    priority: 10
    conda:
        f"../../envs/{engines.ENVIRONMENTS[ENGINE]}.yaml"
    threads: CONFIG.evaluation.threads
    resources:
        **scoring_resources(stage_resources.evaluation(CONFIG, gpu=SCORING_GPU)),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        settings=EVALUATION_SETTINGS,
        seed=0,
        code=EVALUATION_CODE,
        lock=engine_lock(ENGINE),
    message:
        "evaluation of base {wildcards.base_seed}"
    script:
        "../scripts/evaluate.py"


use rule evaluate_base as evaluate with:
    input:
        weights=checkpoint_weights,
        problems=rules.problems.output[0],
    output:
        rows="<run>/evaluations/{label}.parquet",
        csv="<run>/evaluations/{label}.csv",
    log:
        "<run>/logs/evaluation/{label}.log",
    benchmark:
        "<run>/benchmarks/evaluation/{label}.tsv"
    wildcard_constraints:
        # SFT's checkpoints have a rule of their own: were they candidates here, Snakemake would
        # prepare two jobs for each and drop one.
        label=rf"(?!base|sft)(?:{LABEL})",
    # What the landmark and the first figure wait for goes first.
    priority: 5
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        settings=EVALUATION_SETTINGS,
        seed=lambda wildcards: int(wildcards.seed),
        code=EVALUATION_CODE,
        lock=engine_lock(ENGINE),
    message:
        "evaluation of {wildcards.label} (base {wildcards.base_seed}, seed {wildcards.seed})"


use rule evaluate as evaluate_sft with:
    input:
        weights="<run>/sft/step-{step}/model.safetensors",
        problems=rules.problems.output[0],
    output:
        rows="<run>/evaluations/sft-{step}.parquet",
        csv="<run>/evaluations/sft-{step}.csv",
    log:
        "<run>/logs/evaluation/sft-{step}.log",
    benchmark:
        "<run>/benchmarks/evaluation/sft-{step}.tsv"
    priority: 10
    message:
        "evaluation of sft-{wildcards.step} (base {wildcards.base_seed}, seed {wildcards.seed})"
