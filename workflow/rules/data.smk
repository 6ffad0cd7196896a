"""Problems and samples.

No inputs. Outputs: the evaluation problems (the same for all seeds), the samples of each SFT segment in
the order of training, the problems of RL, and the data card.
"""

from derotate.study.provenance import code_digest, lock_digest

LOCK = lock_digest()

TASK_PACKAGE = f"derotate.tasks.{CONFIG.task}"
PROBLEMS_CODE = code_digest("derotate.stages.data", f"{TASK_PACKAGE}.problems")
STREAM_CODE = code_digest("derotate.stages.data", f"{TASK_PACKAGE}.streams")
SAMPLES_CODE = code_digest(
    "derotate.stages.data", f"{TASK_PACKAGE}.streams", f"{TASK_PACKAGE}.prompts"
)
SUITES = [suite.model_dump() for suite in CONFIG.evaluation.suites]
CARD_PARTS = ["problems", "defaults", *(["chance"] if OF_TASK.guessable else [])]


rule problems:
    """The problems of all evaluation suites."""
    output:
        "<task>/data/problems.csv",
    log:
        "<task>/logs/data/problems.log",
    benchmark:
        "<task>/benchmarks/rest/problems.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **requested_resources(stage_resources.small_job()),
    params:
        task=CONFIG.task,
        suites=SUITES,
        code=PROBLEMS_CODE,
    message:
        "problems of all evaluation suites"
    script:
        "../scripts/problems.py"


rule data_card:
    """The pretraining mixture, and the problems that each stage may see."""
    output:
        markdown="<task>/data/card.md",
        html=captioned("<task>/data/card.html", "data_card"),
    log:
        "<task>/logs/data/card.log",
    benchmark:
        "<task>/benchmarks/rest/card.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **requested_resources(stage_resources.small_job()),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        mixture=CONFIG.base.mixture.model_dump() if TINY else {},
        suites=SUITES,
        code=code_digest("derotate.stages.card", *(f"{TASK_PACKAGE}.{part}" for part in CARD_PARTS)),
    message:
        "data card"
    script:
        "../scripts/data_card.py"


rule sft_samples:
    """Prompts and responses of the SFT steps `after` + 1 to `last`, in order."""
    output:
        "<run>/sft/samples-{after}-{last}.jsonl",
    log:
        "<run>/logs/sft/samples-{after}-{last}.log",
    benchmark:
        "<run>/benchmarks/rest/samples-{after}-{last}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **requested_resources(stage_resources.small_job()),
    params:
        task=CONFIG.task,
        style=CONFIG.style,
        batch_size=CONFIG.sft.batch_size,
        stream=None,
        code=SAMPLES_CODE,
    message:
        "SFT samples of steps {wildcards.after} to {wildcards.last} (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/sft_samples.py"


for ARM, SETTINGS in ARMS.items():
    if SETTINGS.stream is None:
        continue

    rule:
        name:
            f"{ARM}_samples"
        # Prompts and responses of an arm that does not train on the samples of SFT.
        output:
            f"<run>/{ARM}/samples-{{after}}-{{last}}.jsonl",
        log:
            f"<run>/logs/sft/{ARM}-samples-{{after}}-{{last}}.log",
        benchmark:
            f"<run>/benchmarks/rest/{ARM}-samples-{{after}}-{{last}}.tsv"
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        resources:
            **requested_resources(stage_resources.small_job()),
        params:
            task=CONFIG.task,
            style=CONFIG.style,
            batch_size=CONFIG.sft.batch_size,
            stream=SETTINGS.stream,
            code=stream_code(SETTINGS.stream),
        message:
            f"samples of {SETTINGS.label} (base {{wildcards.base_seed}}, seed {{wildcards.seed}})"
        script:
            "../scripts/sft_samples.py"


rule rl_problems:
    """Problems of the fold `rl`, from which RL updates sample."""
    output:
        "<run>/rl/problems.csv",
    log:
        "<run>/logs/rl/problems.log",
    benchmark:
        "<run>/benchmarks/rest/rl-problems.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **requested_resources(stage_resources.small_job()),
    params:
        task=CONFIG.task,
        problems=CONFIG.rl.problems,
        code=STREAM_CODE,
    message:
        "problems of RL (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/rl_problems.py"
