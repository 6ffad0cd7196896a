"""Supervised fine-tuning.

Needs the base and the samples. Makes the checkpoints of each segment; a segment resumes the state
that the one before left, so segments can be added later. Only the newest state is kept.
"""

SFT_CODE = code_digest("derotate.stages.sft")
PROCESSES = CONFIG.sft.compute.processes
KEEP_SFT = untracked(CONFIG.sft.compute.save_state_every)
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
            **training_resources(
                stage_resources.sft(CONFIG, steps, after=after, gpu=GPU), PROCESSES
            ),
        params:
            after=after,
            steps=list(steps),
            optimisation=SFT_SETTINGS,
            save_state_every=KEEP_SFT,
            code=SFT_CODE,
            lock=LOCK,
        message:
            f"SFT to step {steps[-1]} (base {{wildcards.base_seed}}, seed {{wildcards.seed}})"
        script:
            "../scripts/sft.py"


for ARM, SETTINGS in ARMS.items():
    STEPS = getattr(CONFIG, ARM).steps

    rule:
        name:
            ARM
        # Train an arm beside SFT and leave its checkpoints; those of LoRA are merged.
        input:
            base=PATHS.weights("base"),
            samples=f"<run>/{ARM if SETTINGS.stream else 'sft'}/samples-0-{max(STEPS, default=0)}.jsonl",
        output:
            weights=[f"<run>/{ARM}/step-{step}/model.safetensors" for step in STEPS],
            config=[f"<run>/{ARM}/step-{step}/config.json" for step in STEPS],
            table=f"<run>/{ARM}/training.csv",
        log:
            f"<run>/logs/sft/{ARM}.log",
        benchmark:
            f"<run>/benchmarks/sft/{ARM}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: CONFIG.sft.threads * PROCESSES
        resources:
            **training_resources(stage_resources.sft(CONFIG, STEPS, gpu=GPU), PROCESSES),
        params:
            after=0,
            steps=list(STEPS),
            optimisation=arm_optimisation(ARM),
            save_state_every=KEEP_SFT,
            adapter=arm_adapter(ARM),
            code=SFT_CODE,
            lock=LOCK,
        message:
            f"{SETTINGS.label} (base {{wildcards.base_seed}}, seed {{wildcards.seed}})"
        script:
            "../scripts/sft.py"
