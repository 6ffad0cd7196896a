"""The phase diagram: when does forgetting happen?

Needs the pretraining mixture, the SFT samples and the problems. Makes bases of several strengths,
SFT from each at several learning rates, their evaluations, and the table and figure of what each
run gained and lost. The rules are those of base, SFT and evaluation with another length or rate.
"""

PHASE_STEPS = list(CONFIG.phase.steps)
PHASE_BASE = phase.base_folder("<base>", "{base_steps}")
PHASE_RUN = phase.run_folder("<run>", "{base_steps}", "{rate}")
# Greedy answers are all that is tabulated.
PHASE_EVALUATION = EVALUATION_SETTINGS | {"samples": 0, "attempts": 0}
PHASE_CODE = code_digest("derotate.stages.phase")
PHASE_BLOCKS = {"task", "style", "model", "base", "sft", "phase", "evaluation"}
# What the table was made from, written beside it.
PHASE_ORIGIN = {
    "derotate": version("derotate"),
    "seeds": list(CONFIG.seeds),
    "base_seeds": list(CONFIG.base_seeds),
    "config": value_digest(
        CONFIG.model_dump(mode="json", include=PHASE_BLOCKS, exclude={"sft": WITHOUT_STATES})
    ),
    "lock": LOCK,
    "code": {
        "base": BASE_CODE,
        "sft": SFT_CODE,
        "evaluation": EVALUATION_CODE,
        "phase": PHASE_CODE,
    },
}


wildcard_constraints:
    base_steps=r"\d+",
    rate=phase.RATE,


use rule base as phase_base with:
    output:
        weights=f"{PHASE_BASE}/model.safetensors",
        config=f"{PHASE_BASE}/config.json",
        table=f"{PHASE_BASE}/training.csv",
    log:
        "<base>/logs/phase/pretrained-{base_steps}.log",
    benchmark:
        "<base>/benchmarks/base/phase-{base_steps}.tsv"
    params:
        settings=lambda wildcards: (CONFIG.base.model_dump() | {"steps": int(wildcards.base_steps)}),
    message:
        "pretraining of base {wildcards.base_seed} for {wildcards.base_steps} steps"


use rule evaluate_base as phase_evaluate_base with:
    input:
        weights=rules.phase_base.output.weights,
        problems=rules.problems.output[0],
    output:
        rows=f"{PHASE_BASE}/evaluation.parquet",
        csv=f"{PHASE_BASE}/evaluation.csv",
    log:
        "<base>/logs/phase/evaluation-{base_steps}.log",
    benchmark:
        "<base>/benchmarks/evaluation/phase-{base_steps}.tsv"
    params:
        settings=PHASE_EVALUATION,
    message:
        "evaluation of base {wildcards.base_seed} after {wildcards.base_steps} steps"


use rule lora as phase_sft with:
    input:
        base=phase_start,
        samples=f"<run>/sft/samples-0-{max(PHASE_STEPS, default=0)}.jsonl",
    output:
        weights=[f"{PHASE_RUN}/step-{step}/model.safetensors" for step in PHASE_STEPS],
        config=[f"{PHASE_RUN}/step-{step}/config.json" for step in PHASE_STEPS],
        table=f"{PHASE_RUN}/training.csv",
    log:
        "<run>/logs/phase/pretrained-{base_steps}-rate-{rate}.log",
    benchmark:
        "<run>/benchmarks/sft/phase-{base_steps}-{rate}.tsv"
    resources:
        **training_resources(stage_resources.sft(CONFIG, CONFIG.phase.steps, gpu=GPU), PROCESSES),
    params:
        steps=PHASE_STEPS,
        optimisation=lambda wildcards: (SFT_SETTINGS | {"learning_rate": float(wildcards.rate)}),
        adapter=None,
    message:
        "SFT at rate {wildcards.rate} from {wildcards.base_steps} steps of pretraining (base {wildcards.base_seed}, seed {wildcards.seed})"


use rule evaluate as phase_evaluate with:
    input:
        weights=f"{PHASE_RUN}/step-{{step}}/model.safetensors",
        problems=rules.problems.output[0],
    output:
        rows=f"{PHASE_RUN}/evaluations/step-{{step}}.parquet",
        csv=f"{PHASE_RUN}/evaluations/step-{{step}}.csv",
    log:
        "<run>/logs/phase/evaluation-{base_steps}-{rate}-{step}.log",
    benchmark:
        "<run>/benchmarks/evaluation/phase-{base_steps}-{rate}-{step}.tsv"
    params:
        settings=PHASE_EVALUATION,
    message:
        "evaluation of step {wildcards.step} at rate {wildcards.rate} from {wildcards.base_steps} steps of pretraining (base {wildcards.base_seed}, seed {wildcards.seed})"


rule phase_diagram:
    """OOD accuracy gained and lost by learning rate and strength of the base."""
    input:
        evaluations=phase_evaluations,
    output:
        table=phase.table(PATHS),
        origin="<study>/tables/phase_origin.json",
        png=captioned("<study>/figures/phase.png", "phase"),
        pdf="<study>/figures/phase.pdf",
    log:
        "<study>/logs/phase.log",
    benchmark:
        "<study>/benchmarks/rest/phase.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(len(PHASE_EVALUATIONS))),
    params:
        cells=list(PHASE_EVALUATIONS.values()),
        origin=PHASE_ORIGIN,
        code=PHASE_CODE,
    message:
        "phase diagram"
    script:
        "../scripts/phase.py"
