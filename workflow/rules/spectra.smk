"""Spectra.

Needs checkpoints. Makes one singular value decomposition a checkpoint and matrix, guarded against
random weights, and from two of them the spectral table of a pair with its nulls.
"""

FACTORS_CODE = code_digest("derotate.stages.factors")
SPECTRA_CODE = code_digest("derotate.stages.spectra")


rule base_factors:
    """Decompose the base's matrices; refuse weights that look random."""
    input:
        weights=PATHS.weights("base"),
    output:
        factors="<base>/factors/base.safetensors",
        guards="<base>/factors/base-guards.csv",
    log:
        "<base>/logs/surgery/factors-base.log",
    benchmark:
        "<base>/benchmarks/surgery/factors-base.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.surgery.threads
    resources:
        **requested_resources(stage_resources.factors(CONFIG, checkpoints=1)),
    params:
        guards=CONFIG.guards.model_dump(exclude={"recorded_loss"}),
        precision=CONFIG.surgery.precision,
        threads=CONFIG.surgery.threads,
        code=FACTORS_CODE,
        lock=LOCK,
    message:
        "singular value decompositions of base {wildcards.base_seed}"
    script:
        "../scripts/factors.py"


use rule base_factors as factors with:
    input:
        weights=checkpoint_weights,
        reference=PATHS.weights("base"),
    output:
        factors="<run>/factors/{label}.safetensors",
        guards="<run>/factors/{label}-guards.csv",
    log:
        "<run>/logs/surgery/factors-{label}.log",
    benchmark:
        "<run>/benchmarks/surgery/factors-{label}.tsv"
    message:
        "singular value decompositions of {wildcards.label} (base {wildcards.base_seed}, seed {wildcards.seed})"


rule spectra:
    """Values, angles and energies of a pair of checkpoints, beside their nulls."""
    input:
        weights=pair_inputs("weights"),
        factors=pair_inputs("factors"),
    output:
        "<run>/spectra/from-{donor}-to-{patient}.parquet",
    log:
        "<run>/logs/surgery/spectra-{donor}-{patient}.log",
    benchmark:
        "<run>/benchmarks/surgery/spectra-{donor}-{patient}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.surgery.threads
    resources:
        **requested_resources(stage_resources.factors(CONFIG, checkpoints=2)),
    params:
        threads=CONFIG.surgery.threads,
        code=SPECTRA_CODE,
        lock=LOCK,
    message:
        "spectra from {wildcards.donor} to {wildcards.patient} (base {wildcards.base_seed}, seed {wildcards.seed})"
    script:
        "../scripts/spectra.py"
