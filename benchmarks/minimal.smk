"""The least that a workflow can be which has the jobs and files of the demo's grid.

Inputs, outputs, logs, benchmarks and scripts are those of the study up to its landmarks; there are
no params, messages, resources, environments or input functions, and nothing is imported. It is
planned beside the study by dag.py and never run.
"""

configfile: "config/demo.yaml"

SEEDS = config["seeds"]
SEGMENTS = config["sft"]["segments"]
STEPS = [step for segment in SEGMENTS for step in segment]
STARTS = config["rl"]["runs"][0]["starts"]
UPDATES = config["rl"]["grpo"]["updates"]

STUDY = f"results/{config['study']}"
TASK = f"{STUDY}/{config['task']}"
BASE = f"{TASK}/base-{{base_seed}}"
RUN = f"{BASE}/seed-{{seed}}"
BASES = expand(BASE, base_seed=config["base_seeds"])
RUNS = expand(RUN, base_seed=config["base_seeds"], seed=SEEDS)
CHECKPOINT = ("model.safetensors", "config.json")
SCRIPTS = "../workflow/scripts"
EVALUATED = expand("{base}/evaluations/base.parquet", base=BASES)
EVALUATED += expand("{run}/evaluations/sft-{step}.parquet", run=RUNS, step=STEPS)


wildcard_constraints:
    base_seed=r"\d+",
    seed=r"\d+",
    step=r"\d+",
    start=r"\d+",
    after=r"\d+",
    last=r"\d+",


rule all:
    input:
        expand(
            f"{STUDY}/{{made}}",
            made=["accuracy.csv", "card.md", "reexamination.csv", "claims.csv", "figures.png"],
        ),


rule problems:
    output:
        f"{TASK}/data/problems.csv",
    log:
        f"{TASK}/logs/data/problems.log",
    benchmark:
        f"{TASK}/benchmarks/rest/problems.tsv"
    script:
        f"{SCRIPTS}/problems.py"


rule data_card:
    output:
        f"{STUDY}/card.md",
    script:
        f"{SCRIPTS}/data_card.py"


rule reexamination:
    output:
        f"{STUDY}/reexamination.csv",
    script:
        f"{SCRIPTS}/reexamination.py"


rule base:
    output:
        expand(f"{BASE}/base/{{name}}", name=[*CHECKPOINT, "training.csv"], allow_missing=True),
    log:
        f"{BASE}/logs/base.log",
    benchmark:
        f"{BASE}/benchmarks/base/base.tsv"
    script:
        f"{SCRIPTS}/base.py"


rule sft_samples:
    output:
        f"{RUN}/sft/samples-{{after}}-{{last}}.jsonl",
    log:
        f"{RUN}/logs/sft/samples-{{after}}-{{last}}.log",
    benchmark:
        f"{RUN}/benchmarks/rest/samples-{{after}}-{{last}}.tsv"
    script:
        f"{SCRIPTS}/sft_samples.py"


rule rl_problems:
    output:
        f"{RUN}/rl/problems.csv",
    log:
        f"{RUN}/logs/rl/problems.log",
    benchmark:
        f"{RUN}/benchmarks/rest/rl-problems.tsv"
    script:
        f"{SCRIPTS}/rl_problems.py"


for before, segment in zip([0, *(segment[-1] for segment in SEGMENTS)], SEGMENTS):

    rule:
        name:
            f"sft_to_{segment[-1]}"
        input:
            f"{BASE}/base/model.safetensors",
            f"{RUN}/sft/samples-{before}-{segment[-1]}.jsonl",
            f"{RUN}/sft/state-{before}" if before else [],
        output:
            [f"{RUN}/sft/step-{step}/{name}" for step in segment for name in CHECKPOINT],
            f"{RUN}/sft/training-{segment[-1]}.csv",
            directory(f"{RUN}/sft/state-{segment[-1]}"),
        log:
            f"{RUN}/logs/sft/to-{segment[-1]}.log",
        benchmark:
            f"{RUN}/benchmarks/sft/to-{segment[-1]}.tsv"
        script:
            f"{SCRIPTS}/sft.py"


rule evaluate_base:
    input:
        f"{BASE}/base/model.safetensors",
        f"{TASK}/data/problems.csv",
    output:
        f"{BASE}/evaluations/base.parquet",
        f"{BASE}/evaluations/base.csv",
    log:
        f"{BASE}/logs/evaluation/base.log",
    benchmark:
        f"{BASE}/benchmarks/evaluation/base.tsv"
    script:
        f"{SCRIPTS}/evaluate.py"


rule evaluate_sft:
    input:
        f"{RUN}/sft/step-{{step}}/model.safetensors",
        f"{TASK}/data/problems.csv",
    output:
        f"{RUN}/evaluations/sft-{{step}}.parquet",
        f"{RUN}/evaluations/sft-{{step}}.csv",
    log:
        f"{RUN}/logs/evaluation/sft-{{step}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluation/sft-{{step}}.tsv"
    script:
        f"{SCRIPTS}/evaluate.py"


rule grpo:
    input:
        f"{RUN}/sft/step-{{start}}/model.safetensors",
        f"{RUN}/rl/problems.csv",
    output:
        [f"{RUN}/rl/grpo/from-{{start}}/step-{UPDATES}/{name}" for name in CHECKPOINT],
        f"{RUN}/rl/grpo/from-{{start}}/log.csv",
        f"{RUN}/rl/grpo/from-{{start}}/advantages.csv",
    log:
        f"{RUN}/logs/rl/grpo-from-{{start}}.log",
    benchmark:
        f"{RUN}/benchmarks/rl/grpo-from-{{start}}.tsv"
    script:
        f"{SCRIPTS}/rl.py"


rule evaluate:
    input:
        f"{RUN}/rl/grpo/from-{{start}}/step-{UPDATES}/model.safetensors",
        f"{TASK}/data/problems.csv",
    output:
        f"{RUN}/evaluations/rl-grpo-{{start}}-{UPDATES}.parquet",
        f"{RUN}/evaluations/rl-grpo-{{start}}-{UPDATES}.csv",
    log:
        f"{RUN}/logs/evaluation/rl-grpo-{{start}}-{UPDATES}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluation/rl-grpo-{{start}}-{UPDATES}.tsv"
    script:
        f"{SCRIPTS}/evaluate.py"


rule landmarks:
    input:
        [f"{RUN}/evaluations/sft-{step}.parquet" for step in STEPS],
    output:
        f"{RUN}/landmarks.json",
    log:
        f"{RUN}/logs/landmarks.log",
    benchmark:
        f"{RUN}/benchmarks/rest/landmarks.tsv"
    script:
        f"{SCRIPTS}/landmarks.py"


rule accuracy_by_step:
    input:
        EVALUATED,
    output:
        f"{STUDY}/accuracy.csv",
    script:
        f"{SCRIPTS}/accuracy_by_step.py"


rule tables:
    input:
        EVALUATED,
        expand(
            f"{{run}}/evaluations/rl-grpo-{{start}}-{UPDATES}.parquet", run=RUNS, start=STARTS
        ),
        expand("{run}/landmarks.json", run=RUNS),
        expand("{run}/rl/grpo/from-{start}/log.csv", run=RUNS, start=STARTS),
    output:
        f"{STUDY}/tables.csv",
    script:
        f"{SCRIPTS}/tables.py"


rule claims:
    input:
        f"{STUDY}/tables.csv",
    output:
        f"{STUDY}/claims.csv",
    script:
        f"{SCRIPTS}/claims.py"


rule figures:
    input:
        f"{STUDY}/tables.csv",
    output:
        f"{STUDY}/figures.png",
    script:
        f"{SCRIPTS}/figures.py"
