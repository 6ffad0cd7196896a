"""Evidence.

Needs the tables, and those of further studies of other tasks. Makes one verdict a claim, with its
numbers and its reason.
"""

# Studies of other tasks, by the names of their rules.
OTHER_TASKS = {name: made for name, made in ALSO.items() if made.task != CONFIG.task}


rule claims:
    """Judge every claim of the papers by the tables of this study."""
    input:
        rules.tables.output.csv,
        [getattr(rules, f"{name}_tables").output.csv for name in OTHER_TASKS],
    output:
        claims="<study>/tables/claims.csv",
        parts="<study>/tables/claim_parts.csv",
        markdown="<study>/tables/claims.md",
        html=captioned("<study>/tables/claims.html", "claims_table"),
    log:
        "<study>/logs/claims.log",
    benchmark:
        "<study>/benchmarks/rest/claims.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(0)),
    params:
        others={made.study: f"{Paths.of(made).study}/tables" for made in OTHER_TASKS.values()},
        code=code_digest("derotate.stages.claims"),
    message:
        "verdicts on the claims"
    script:
        "../scripts/claims.py"
