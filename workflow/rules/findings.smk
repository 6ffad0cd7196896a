"""Findings.

Needs the committed tables of the reference study, the calibration of its tests and the numbers of
the papers. Makes the page on what holds and the page on how to make it again: text from tables, so
both are quick to redo where nothing was trained.
"""

from derotate import reference
from derotate.provenance import value_digest

REFERENCE = Path(reference.TABLES)
CALIBRATION = Path("results/reference/calibration/calibration.csv")
JUDGED = [str(REFERENCE / name) for name in ("claims.csv", "claim_parts.csv")]
FINDINGS_SOURCES = {
    "judged": JUDGED,
    "tables": sorted({str(path) for path in REFERENCE.glob("*.*")} - set(JUDGED)),
    "reexamination": "results/reference/reexamination/measured.csv",
    "published": sorted(str(path) for path in Path("results/published").glob("*.csv")),
}
# By content and not as an input, which would rerun the calibration (minutes) after an edit of it.
CALIBRATED_AS = value_digest(CALIBRATION.read_text() if CALIBRATION.is_file() else "")
FINDINGS_CODE = code_digest("derotate.stages.findings")


rule findings:
    """Write what holds, what does not and what stayed open, each number filled from a table."""
    input:
        **FINDINGS_SOURCES,
        figures=reference.pictures(CAPTIONS),
    output:
        page="docs/findings.md",
    log:
        "logs/findings.log",
    benchmark:
        "logs/benchmarks/findings.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        calibration=str(CALIBRATION),
        calibrated_as=CALIBRATED_AS,
        code=FINDINGS_CODE,
    message:
        "the findings page, docs/findings.md"
    script:
        "../scripts/findings.py"


rule reproducing:
    """Write what to run for each claim, what it takes and what to compare."""
    input:
        **FINDINGS_SOURCES,
    output:
        page="docs/reproducing.md",
    log:
        "logs/reproducing.log",
    benchmark:
        "logs/benchmarks/reproducing.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        calibration=str(CALIBRATION),
        calibrated_as=CALIBRATED_AS,
        code=FINDINGS_CODE,
    message:
        "the page on reproducing, docs/reproducing.md"
    script:
        "../scripts/reproducing.py"
