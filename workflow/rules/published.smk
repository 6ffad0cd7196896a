"""The papers' own numbers, and how far our tests can be trusted.

Needs committed numbers only: no run of a study changes them. No study requests its outputs. The
target `reexamination` compares the released spectra with random and trained weights, `make
calibration` runs the calibration of the tests.
"""

from derotate.study.provenance import value_digest

# Studies of 6 and of 10 runs, each with the OOD test problems of the tiny study.
SIMULATED = {
    "shapes": [{"bases": 2, "seeds": seeds, "clusters": 478, "per_cluster": 2} for seeds in (3, 5)],
    "studies": 400,
    "seed": 0,
}
CALIBRATED = {"code": code_digest("derotate.stages.calibration"), **SIMULATED}


rule reexamination:
    """Set the released LLaMA spectra beside random weights and beside a trained model."""
    input:
        spectra="results/published/spectra.csv",
        measured="results/reference/reexamination/measured.csv",
        trained="results/reference/reexamination/trained_spectra.csv",
    output:
        spectra="<study>/tables/reexamination_spectra.csv",
        checks="<study>/tables/reexamination_checks.csv",
        page=captioned("<study>/tables/reexamination.html", "reexamination_table"),
        png=captioned("<study>/figures/reexamination.png", "reexamination"),
        pdf="<study>/figures/reexamination.pdf",
    log:
        "<study>/logs/reexamination.log",
    benchmark:
        "<study>/benchmarks/rest/reexamination.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(0)),
    params:
        code=code_digest("derotate.stages.reexamination"),
    message:
        "re-examination of the released spectra"
    script:
        "../scripts/reexamination.py"


rule calibrate:
    """Try every kind of test on simulated studies whose truth is known (8 minutes of a core)."""
    output:
        table="results/reference/calibration/calibration.csv",
        # The table is committed, and a clone has no record of the params that it was made with. So
        # their digest is in a name: after an edit of the tests this file is missing.
        origin=f"results/reference/calibration/made-with-{value_digest(CALIBRATED)}.json",
    log:
        "<study>/logs/calibration.log",
    benchmark:
        # not beside those of the study, of whose budget it is no part
        "<study>/logs/calibration.tsv"
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        simulated=SIMULATED,
        made_with=CALIBRATED,
    message:
        "calibration of the tests on simulated studies"
    script:
        "../scripts/calibration.py"


rule calibration:
    """The target of `make calibration`: no study asks for it."""
    input:
        rules.calibrate.output,
