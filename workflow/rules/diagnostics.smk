"""Diagnostics.

Needs the base and the checkpoints of a run's peak, end of SFT and end of RL, with their factors. Makes
two tables of a run: how near their hidden states and next tokens are, and how their weights differ.
Paths name steps, never landmarks.
"""

STATES_CODE = code_digest("derotate.stages.states", f"{TASK_PACKAGE}.prompts")
WEIGHTS_CODE = code_digest("derotate.stages.weights")


rule states:
    """Compare hidden states and next-token distributions on prompts of the test fold."""
    input:
        weights=diagnostics_inputs("weights"),
        problems=rules.problems.output[0],
    output:
        "<run>/diagnostics/states-from-{peak}-to-{patient}-to-{healed}.parquet",
    log:
        "<run>/logs/diagnostics/states-{peak}-{patient}-{healed}.log",
    benchmark:
        "<run>/benchmarks/surgery/states-{peak}-{patient}-{healed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.diagnostics.threads
    resources:
        **scoring_resources(stage_resources.states(CONFIG, gpu=SCORING_GPU)),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        prompts=CONFIG.diagnostics.prompts,
        batch_size=CONFIG.evaluation.batch_size,
        threads=CONFIG.diagnostics.threads,
        code=STATES_CODE,
        lock=LOCK,
    message:
        "hidden states of {wildcards.peak}, {wildcards.patient}, {wildcards.healed} (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/states.py"


rule weights:
    """Compare weights: sparsity and off-principal energy of the changes, beside chance."""
    input:
        weights=diagnostics_inputs("weights"),
        factors=diagnostics_inputs("factors"),
    output:
        "<run>/diagnostics/weights-from-{peak}-to-{patient}-to-{healed}.parquet",
    log:
        "<run>/logs/diagnostics/weights-{peak}-{patient}-{healed}.log",
    benchmark:
        "<run>/benchmarks/surgery/weights-{peak}-{patient}-{healed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.diagnostics.threads
    resources:
        **requested_resources(stage_resources.factors(CONFIG, checkpoints=4)),
    params:
        threads=CONFIG.diagnostics.threads,
        code=WEIGHTS_CODE,
        lock=LOCK,
    message:
        "weights of {wildcards.peak}, {wildcards.patient}, {wildcards.healed} (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/weights.py"
