# SPDX-License-Identifier: MIT
"""Compare the spectra of a pair of checkpoints."""

from pathlib import Path

from derotate.runs import job_setup

job_setup.start(snakemake.log[0], snakemake.params.threads)

from derotate.stages.spectra import compare

donor, patient = (Path(weights).parent for weights in snakemake.input.weights)
donor_factors, patient_factors = map(Path, snakemake.input.factors)
compare(
    donor=donor,
    patient=patient,
    donor_factors=donor_factors,
    patient_factors=patient_factors,
    out=Path(snakemake.output[0]),
)
