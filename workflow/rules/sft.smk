"""Supervised fine-tuning.

Needs the base and the samples. Makes the checkpoints of each segment; a segment resumes the state
that the one before left, so segments can be added later. Only the newest state is kept.
"""

from derotate.config.matrix_kinds import EDITABLE

SFT_CODE = code_digest("derotate.stages.sft")
PROCESSES = CONFIG.sft.compute.processes
SFT_SETTINGS = CONFIG.sft.model_dump(exclude={"segments": True, **WITHOUT_STATES})
KEEP_SFT = not_compared(CONFIG.sft.compute.save_state_every)
SEGMENTS = list(zip((0, *(segment[-1] for segment in CONFIG.sft.segments)), CONFIG.sft.segments))

for after, steps in SEGMENTS:

    rule:
        name:
            f"sft_to_{steps[-1]}"
        # Train one SFT segment and leave its checkpoints.
        input:
            base=PATHS.weights("base"),
            samples=f"<run>/sft/samples-{after}-{steps[-1]}.jsonl",
            state=f"<run>/sft/state-{after}" if after else [],
        output:
            weights=[f"<run>/sft/step-{step}/model.safetensors" for step in steps],
            config=[f"<run>/sft/step-{step}/config.json" for step in steps],
            table=f"<run>/sft/training-{steps[-1]}.csv",
            state=(
                directory(f"<run>/sft/state-{steps[-1]}")
                if steps == CONFIG.sft.segments[-1]
                else temp(directory(f"<run>/sft/state-{steps[-1]}"))
            ),
        log:
            f"<run>/logs/sft/to-{steps[-1]}.log",
        benchmark:
            f"<run>/benchmarks/sft/to-{steps[-1]}.tsv"
        priority: 20
        conda:
            "../../envs/train.yaml"
        threads: CONFIG.sft.threads * PROCESSES
        resources:
            **trains(stage_resources.sft(CONFIG, steps, after=after, gpu=GPU), PROCESSES),
        params:
            steps=list(steps),
            optimisation=SFT_SETTINGS,
            save_state_every=KEEP_SFT,
            code=SFT_CODE,
            lock=LOCK,
        message:
            f"SFT to step {steps[-1]} (base {{wildcards.base_seed}}, seed {{wildcards.seed}})"
        script:
            "../scripts/sft.py"


LORA_STEPS = list(CONFIG.lora.steps)


rule lora:
    """Train the LoRA arm on the samples of SFT and leave merged checkpoints."""
    input:
        base=PATHS.weights("base"),
        samples=f"<run>/sft/samples-0-{max(LORA_STEPS, default=0)}.jsonl",
    output:
        weights=[f"<run>/lora/step-{step}/model.safetensors" for step in LORA_STEPS],
        config=[f"<run>/lora/step-{step}/config.json" for step in LORA_STEPS],
        table="<run>/lora/training.csv",
    log:
        "<run>/logs/sft/lora.log",
    benchmark:
        "<run>/benchmarks/sft/lora.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.sft.threads * PROCESSES
    resources:
        **trains(stage_resources.sft(CONFIG, CONFIG.lora.steps, gpu=GPU), PROCESSES),
    params:
        steps=LORA_STEPS,
        optimisation=SFT_SETTINGS | {"learning_rate": CONFIG.lora.learning_rate},
        save_state_every=KEEP_SFT,
        # peft knows matrices by the names of their modules
        adapter=CONFIG.lora.model_dump(exclude={"steps", "learning_rate"})
        | {"matrices": [EDITABLE[kind] for kind in CONFIG.lora.matrices]},
        code=SFT_CODE,
        lock=LOCK,
    message:
        "LoRA SFT (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/sft.py"


ORACLE_STEPS = list(CONFIG.oracle.steps)


rule oracle:
    """Train on ID and OOD problems in turn: what supervision on both rules reaches."""
    input:
        base=PATHS.weights("base"),
        samples=f"<run>/oracle/samples-0-{max(ORACLE_STEPS, default=0)}.jsonl",
    output:
        weights=[f"<run>/oracle/step-{step}/model.safetensors" for step in ORACLE_STEPS],
        config=[f"<run>/oracle/step-{step}/config.json" for step in ORACLE_STEPS],
        table="<run>/oracle/training.csv",
    log:
        "<run>/logs/sft/oracle.log",
    benchmark:
        "<run>/benchmarks/sft/oracle.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.sft.threads * PROCESSES
    resources:
        **trains(stage_resources.sft(CONFIG, CONFIG.oracle.steps, gpu=GPU), PROCESSES),
    params:
        steps=ORACLE_STEPS,
        optimisation=SFT_SETTINGS,
        save_state_every=KEEP_SFT,
        code=SFT_CODE,
        lock=LOCK,
    message:
        "SFT of the oracle (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/sft.py"


DIVERSE_STEPS = list(CONFIG.diverse.steps)


use rule oracle as diverse with:
    input:
        base=PATHS.weights("base"),
        samples=f"<run>/diverse/samples-0-{max(DIVERSE_STEPS, default=0)}.jsonl",
    output:
        weights=[f"<run>/diverse/step-{step}/model.safetensors" for step in DIVERSE_STEPS],
        config=[f"<run>/diverse/step-{step}/config.json" for step in DIVERSE_STEPS],
        table="<run>/diverse/training.csv",
    log:
        "<run>/logs/sft/diverse.log",
    benchmark:
        "<run>/benchmarks/sft/diverse.tsv"
    resources:
        **trains(stage_resources.sft(CONFIG, CONFIG.diverse.steps, gpu=GPU), PROCESSES),
    params:
        steps=DIVERSE_STEPS,
    message:
        "SFT with varied prompts (base {wildcards.base_seed}, seed {wildcards.seed})"
