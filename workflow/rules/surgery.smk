"""Surgery.

Needs donor and patient with their factors. Makes the evaluation of a recipe; the variant itself is
the loaded patient, edited matrix by matrix, and is written nowhere. Paths name steps, never
landmarks.
"""

SURGERY_CODE = code_digest(
    "derotate.stages.surgery", ENGINE_CODE, f"{TASK_PACKAGE}.prompts", f"{TASK_PACKAGE}.feedback"
)
SURGERY_GUARDS = CONFIG.guards.model_dump(include={"recorded_loss", "action"})


rule surgery:
    """Make one surgery variant of the loaded patient and score it."""
    input:
        weights=surgery_inputs("weights"),
        factors=surgery_inputs("factors"),
        recorded=rules.evaluate.output.rows.replace("{label}", "{patient}"),
        problems=rules.problems.output[0],
    output:
        rows="<run>/evaluations/surgery/from-{donor}-into-{patient}/{recipe}.parquet",
        csv="<run>/evaluations/surgery/from-{donor}-into-{patient}/{recipe}.csv",
        facts="<run>/evaluations/surgery/from-{donor}-into-{patient}/{recipe}.json",
    log:
        "<run>/logs/surgery/from-{donor}-into-{patient}/{recipe}.log",
    benchmark:
        "<run>/benchmarks/evaluation/from-{donor}-into-{patient}/{recipe}.tsv"
    conda:
        f"../../envs/{engines.ENVIRONMENTS[ENGINE]}.yaml"
    threads: CONFIG.surgery.threads
    resources:
        **scoring_resources(stage_resources.surgery(CONFIG, gpu=SCORING_GPU)),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        recipe=lambda wildcards: study.recipe_named(CONFIG, wildcards.recipe),
        settings=EVALUATION_SETTINGS,
        guards=SURGERY_GUARDS,
        code=SURGERY_CODE,
        lock=engine_lock(ENGINE),
    message:
        "surgery {wildcards.recipe} from {wildcards.donor} into {wildcards.patient} (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/surgery.py"
