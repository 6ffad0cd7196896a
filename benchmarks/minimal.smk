"""The study's jobs and nothing else: the comparison for the time that planning takes.

It has one job per job of the demo's grid, with a script, a log, a benchmark and as many inputs.
It has no params, resources, threads, environments, messages, priorities, captions, wildcard
constraints or input functions. A job writes only the files that other jobs read, or one file.
dag.py plans both workflows with the same number of seeds. This one is never run.

Frozen in November 2026. It does not follow later changes of the study.
"""

STUDY = "results/planned"
RUN = f"{STUDY}/base-1/seed-{{seed}}"
SEEDS = range(1, int(config["seeds"]) + 1)
SEGMENTS = {200: (20, 40, 60, 80, 120, 200), 600: (350, 600)}
STEPS = [step for steps in SEGMENTS.values() for step in steps]
STARTS = (60, 200, 600)
UPDATES = 30
TABLES = [f"{STUDY}/tables/{number}.csv" for number in range(21)]
PUBLISHED = "results/published"
FIGURES = [f"{STUDY}/figures/{number}.png" for number in range(20)]


rule all:
    input:
        TABLES,
        FIGURES,
        f"{STUDY}/figures/accuracy_by_step.png",
        f"{STUDY}/tables/claims.csv",
        f"{STUDY}/data/card.md",


rule data_card:
    output:
        f"{STUDY}/data/card.md",
    log:
        f"{STUDY}/logs/data/card.log",
    benchmark:
        f"{STUDY}/benchmarks/card.tsv"
    script:
        "../workflow/scripts/data_card.py"


rule problems:
    output:
        f"{STUDY}/data/problems.csv",
    log:
        f"{STUDY}/logs/data/problems.log",
    benchmark:
        f"{STUDY}/benchmarks/problems.tsv"
    script:
        "../workflow/scripts/problems.py"


rule base:
    output:
        f"{STUDY}/base-1/base/model.safetensors",
    log:
        f"{STUDY}/base-1/logs/base.log",
    benchmark:
        f"{STUDY}/base-1/benchmarks/base.tsv"
    script:
        "../workflow/scripts/base.py"


rule evaluate_base:
    input:
        f"{STUDY}/base-1/base/model.safetensors",
        f"{STUDY}/data/problems.csv",
    output:
        f"{STUDY}/base-1/evaluations/base.parquet",
    log:
        f"{STUDY}/base-1/logs/evaluation.log",
    benchmark:
        f"{STUDY}/base-1/benchmarks/evaluation.tsv"
    script:
        "../workflow/scripts/evaluate.py"


rule sft_samples:
    output:
        f"{RUN}/sft/samples-{{after}}-{{last}}.jsonl",
    log:
        f"{RUN}/logs/sft/samples-{{after}}-{{last}}.log",
    benchmark:
        f"{RUN}/benchmarks/samples-{{after}}-{{last}}.tsv"
    script:
        "../workflow/scripts/sft_samples.py"


rule rl_problems:
    output:
        f"{RUN}/rl/problems.csv",
    log:
        f"{RUN}/logs/rl/problems.log",
    benchmark:
        f"{RUN}/benchmarks/rl-problems.tsv"
    script:
        "../workflow/scripts/rl_problems.py"


rule sft_to_200:
    input:
        f"{STUDY}/base-1/base/model.safetensors",
        f"{RUN}/sft/samples-0-200.jsonl",
    output:
        [f"{RUN}/sft/step-{step}/model.safetensors" for step in SEGMENTS[200]],
        directory(f"{RUN}/sft/state-200"),
    log:
        f"{RUN}/logs/sft/to-200.log",
    benchmark:
        f"{RUN}/benchmarks/sft/to-200.tsv"
    script:
        "../workflow/scripts/sft.py"


rule sft_to_600:
    input:
        f"{STUDY}/base-1/base/model.safetensors",
        f"{RUN}/sft/samples-200-600.jsonl",
        f"{RUN}/sft/state-200",
    output:
        [f"{RUN}/sft/step-{step}/model.safetensors" for step in SEGMENTS[600]],
    log:
        f"{RUN}/logs/sft/to-600.log",
    benchmark:
        f"{RUN}/benchmarks/sft/to-600.tsv"
    script:
        "../workflow/scripts/sft.py"


rule evaluate_sft:
    input:
        f"{RUN}/sft/step-{{step}}/model.safetensors",
        f"{STUDY}/data/problems.csv",
    output:
        f"{RUN}/evaluations/sft-{{step}}.parquet",
    log:
        f"{RUN}/logs/evaluation/sft-{{step}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluation/sft-{{step}}.tsv"
    script:
        "../workflow/scripts/evaluate.py"


checkpoint landmarks:
    input:
        [f"{RUN}/evaluations/sft-{step}.parquet" for step in STEPS],
    output:
        f"{RUN}/landmarks.json",
    log:
        f"{RUN}/logs/landmarks.log",
    benchmark:
        f"{RUN}/benchmarks/landmarks.tsv"
    script:
        "../workflow/scripts/landmarks.py"


rule grpo:
    input:
        f"{RUN}/sft/step-{{start}}/model.safetensors",
        f"{RUN}/rl/problems.csv",
    output:
        f"{RUN}/rl/grpo/from-{{start}}/step-{UPDATES}/model.safetensors",
        f"{RUN}/rl/grpo/from-{{start}}/log.csv",
    log:
        f"{RUN}/logs/rl/grpo-from-{{start}}.log",
    benchmark:
        f"{RUN}/benchmarks/rl/grpo-from-{{start}}.tsv"
    script:
        "../workflow/scripts/rl.py"


rule evaluate:
    input:
        f"{RUN}/rl/grpo/from-{{start}}/step-{UPDATES}/model.safetensors",
        f"{STUDY}/data/problems.csv",
    output:
        f"{RUN}/evaluations/rl-grpo-from-{{start}}-step-{UPDATES}.parquet",
    log:
        f"{RUN}/logs/evaluation/rl-grpo-from-{{start}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluation/rl-grpo-from-{{start}}.tsv"
    script:
        "../workflow/scripts/evaluate.py"


SFT_EVALUATIONS = [
    f"{STUDY}/base-1/evaluations/base.parquet",
    *expand(f"{RUN}/evaluations/sft-{{step}}.parquet", seed=SEEDS, step=STEPS),
]


rule accuracy_by_step:
    input:
        SFT_EVALUATIONS,
    output:
        f"{STUDY}/figures/accuracy_by_step.png",
    log:
        f"{STUDY}/logs/accuracy_by_step.log",
    benchmark:
        f"{STUDY}/benchmarks/accuracy_by_step.tsv"
    script:
        "../workflow/scripts/accuracy_by_step.py"


rule tables:
    input:
        f"{STUDY}/data/problems.csv",
        SFT_EVALUATIONS,
        expand(
            f"{RUN}/evaluations/rl-grpo-from-{{start}}-step-{UPDATES}.parquet",
            seed=SEEDS,
            start=STARTS,
        ),
        expand(f"{RUN}/landmarks.json", seed=SEEDS),
        expand(f"{RUN}/rl/grpo/from-{{start}}/log.csv", seed=SEEDS, start=STARTS),
    output:
        TABLES,
    log:
        f"{STUDY}/logs/tables.log",
    benchmark:
        f"{STUDY}/benchmarks/tables.tsv"
    script:
        "../workflow/scripts/tables.py"


rule figures:
    input:
        TABLES,
        f"{PUBLISHED}/accuracy_by_step.csv",
        f"{PUBLISHED}/stages.csv",
        f"{PUBLISHED}/surgery.csv",
    output:
        FIGURES,
    log:
        f"{STUDY}/logs/figures.log",
    benchmark:
        f"{STUDY}/benchmarks/figures.tsv"
    script:
        "../workflow/scripts/figures.py"


rule claims:
    input:
        TABLES,
    output:
        f"{STUDY}/tables/claims.csv",
    log:
        f"{STUDY}/logs/claims.log",
    benchmark:
        f"{STUDY}/benchmarks/claims.tsv"
    script:
        "../workflow/scripts/claims.py"
