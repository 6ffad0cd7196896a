"""Evidence.

Needs the tables. Makes one verdict a claim, with its numbers and its reason.
"""


rule claims:
    """Judge every claim of the papers by the tables of this study."""
    input:
        rules.tables.output.csv,
    output:
        claims="<study>/tables/claims.csv",
        parts="<study>/tables/claim_parts.csv",
        markdown="<study>/tables/claims.md",
        html=report(
            "<study>/tables/claims.html",
            category="Claims",
            caption="../report/claims_table.rst",
            labels={"figure": "verdicts on the claims"},
        ),
    log:
        "<study>/logs/claims.log",
    benchmark:
        "<study>/benchmarks/rest/claims.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **asks(stage_resources.aggregate(0)),
    params:
        code=code_digest("derotate.stages.claims"),
    message:
        "verdicts on the claims"
    script:
        "../scripts/claims.py"
