"""Findings.

Needs the committed tables of the reference study, the calibration of its tests and the numbers of
the papers. Makes docs/findings.md and docs/reproducing.md from tables and templates; trains nothing.
"""

from derotate.study import reference
from derotate.study.provenance import value_digest

REFERENCE = Path(reference.TABLES)
CALIBRATION = Path("results/reference/calibration/calibration.csv")
# Studies of other tasks, by task.
OTHERS = reference.other_tasks()
JUDGED_OTHERS = [
    f"{folder}/{name}.csv" for folder in OTHERS.values() for name in ("claims", "claim_parts")
]
JUDGED = [str(REFERENCE / name) for name in ("claims.csv", "claim_parts.csv")]


rule findings:
    """Write the verdict on each claim, and how to reproduce each number."""
    input:
        judged=JUDGED,
        tables=sorted({str(path) for path in REFERENCE.glob("*.*")} - set(JUDGED)),
        judged_others=JUDGED_OTHERS,
        others=sorted(
            {str(path) for folder in OTHERS.values() for path in Path(folder).glob("*.*")}
            - set(JUDGED_OTHERS)
        ),
        reexamination=f"{reference.REEXAMINATION}/measured.csv",
        published=sorted(str(path) for path in Path(reference.PAPERS).glob("*.csv")),
        figures=reference.pictures(FIGURES),
        captions=[f"{CAPTION_FOLDER}/{name}.rst" for name in CAPTIONS],
    output:
        findings="docs/findings.md",
        reproducing="docs/reproducing.md",
    log:
        "logs/findings.log",
    benchmark:
        "logs/benchmarks/findings.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(0)),
    params:
        others=OTHERS,
        calibration=str(CALIBRATION),
        # By content: as an input, an edit of it would rerun the calibration (minutes).
        calibrated_as=lambda wildcards: value_digest(
            CALIBRATION.read_text() if CALIBRATION.is_file() else ""
        ),
        code=code_digest("derotate.stages.findings"),
    message:
        "the pages docs/findings.md and docs/reproducing.md"
    script:
        "../scripts/findings.py"
