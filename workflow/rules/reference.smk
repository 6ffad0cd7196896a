"""The reference study's pages.

Needs the tables of the reference study, which are committed. Makes what is derived from them: the
verdicts on the claims and every figure; `reference` asks for the pages of findings.smk too. Nothing
is trained, and torch is not needed. In a fresh clone dates say nothing: the first `make figures`
redraws everything, later ones what has changed.
"""

from derotate.study import reference
from derotate.study.tables import claim_tables


rule reference_claims:
    """Judge every claim of the papers by the reference's tables."""
    input:
        lambda wildcards: claim_tables(reference.TABLES),
        lambda wildcards: [table for folder in OTHERS.values() for table in claim_tables(folder)],
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
        **requested_resources(stage_resources.aggregate(0)),
    params:
        others=OTHERS,
        code=code_digest("derotate.stages.claims"),
    message:
        "verdicts on the claims, by the reference's tables"
    script:
        "../scripts/reference_claims.py"


use rule reference_claims as reference_task_claims with:
    input:
        lambda wildcards: claim_tables(f"{reference.TABLES}-{wildcards.task}"),
    output:
        claims=f"{reference.TABLES}-{{task}}/claims.csv",
        parts=f"{reference.TABLES}-{{task}}/claim_parts.csv",
    log:
        "logs/reference/claims-{task}.log",
    benchmark:
        "logs/reference/claims-{task}.tsv"
    params:
        others={},
    message:
        "verdicts on the claims, by the reference's tables of {wildcards.task}"


rule reference_pictures:
    """Draw every figure from the reference's tables.

    One job, since each would spend most of its time on imports; the same tables give the same
    bytes, so a changed number changes the figures that it is in and no others.
    """
    input:
        lambda wildcards: drawn_tables(FIGURES),
    output:
        reference.pictures(FIGURES),
    log:
        "logs/reference/pictures.log",
    benchmark:
        "logs/reference/pictures.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(0)),
    params:
        roots=[reference.TABLES, reference.PAPERS, reference.REEXAMINATION],
        others=OTHERS,
        code=code_digest(
            "derotate.stages.reference_figures", f"derotate.tasks.{reference.TASK}.defaults"
        ),
    message:
        "every figure, from the reference's tables"
    script:
        "../scripts/reference_pictures.py"


rule reference:
    """All pages of the reference study."""
    input:
        rules.reference_claims.output,
        JUDGED_OTHERS,
        rules.reference_pictures.output,
        rules.findings.output,
