"""The base.

Needs nothing. Makes a tiny Llama for each base seed, trained on the pretraining mixture.
"""

BASE_CODE = code_digest("derotate.stages.base", f"{TASK_PACKAGE}.pretraining")


rule base:
    """Pretrain the tiny base on the task's mixture."""
    output:
        weights="<base>/base/model.safetensors",
        config="<base>/base/config.json",
        table="<base>/base/training.csv",
    log:
        "<base>/logs/base.log",
    benchmark:
        "<base>/benchmarks/base/base.tsv"
    # All waits for it, so it does not wait for cores that the problems and samples hold.
    priority: 30
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.base.threads
    resources:
        **training_resources(stage_resources.pretraining(CONFIG, gpu=GPU)),
    params:
        task=CONFIG.task,
        model=CONFIG.model.model_dump(),
        settings=CONFIG.base.model_dump(),
        code=BASE_CODE,
        lock=LOCK,
    message:
        "pretraining of base {wildcards.base_seed}"
    script:
        "../scripts/base.py"
