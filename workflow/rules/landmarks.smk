"""Landmarks.

Needs the evaluations of all SFT checkpoints. Chooses `max_ood` on the selection fold. This is a
checkpoint rule: aggregates ask it, through input functions, which cells they need. Nothing else
depends on it, so a new candidate that does not win reruns no training, surgery or spectra.
"""


checkpoint landmarks:
    """Choose max_ood from the selection scores of the SFT checkpoints."""
    input:
        [f"<run>/evaluations/sft-{step}.parquet" for step in CONFIG.sft.steps],
    output:
        PATHS.landmarks,
    log:
        "<run>/logs/landmarks.log",
    benchmark:
        "<run>/benchmarks/rest/landmarks.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **requested_resources(stage_resources.small_job()),
    params:
        steps=list(CONFIG.sft.steps),
        sft_end=CONFIG.landmarks.sft_end,
        code=code_digest("derotate.stages.landmarks"),
    message:
        "landmarks (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/landmarks.py"
