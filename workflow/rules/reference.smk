"""The reference study's pages.

Needs the tables of the reference study, which are committed. Makes what is derived from them: the
verdicts on the claims and every figure. Nothing is trained, and torch is not needed. In a fresh
clone dates say nothing: the first `make figures` redraws everything, later ones what has changed.
"""

from derotate import reference


rule reference_claims:
    """Judge every claim of the papers by the reference's tables."""
    input:
        lambda wildcards: reference.judged_tables(reference.TABLES),
    output:
        claims=f"{reference.TABLES}/claims.csv",
        parts=f"{reference.TABLES}/claim_parts.csv",
    log:
        "logs/reference/claims.log",
    benchmark:
        "logs/reference/claims.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_digest("derotate.stages.claims"),
    message:
        "verdicts on the claims, by the reference's tables"
    script:
        "../scripts/reference_claims.py"


rule reference_picture:
    """Draw one figure from the reference's tables."""
    input:
        lambda wildcards: reference.drawn_tables(reference.TABLES, wildcards.figure),
    output:
        f"{reference.PICTURES}/{{figure}}.png",
    log:
        "logs/reference/{figure}.log",
    benchmark:
        "logs/reference/{figure}.tsv"
    wildcard_constraints:
        figure="[a-z_]+",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=FIGURES_CODE,
    message:
        "{output}"
    script:
        "../scripts/reference_picture.py"


rule reference:
    """All pages of the reference study."""
    input:
        rules.reference_claims.output,
        lambda wildcards: reference.pictures(reference.PICTURES),
