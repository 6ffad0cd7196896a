# SPDX-License-Identifier: MIT
"""The spectral table of a pair of checkpoints, each metric beside its two nulls."""

from __future__ import annotations

from pathlib import Path

from derotate.spectral import pair_metrics as spectra
from derotate.spectral.factors import load_factors

NULL_SEED = 0
FRACTIONS = (0.05, 0.2)
"""Shares of the rank whose top subspaces are compared; those of the default recipes."""


def compare(
    *, donor: Path, patient: Path, donor_factors: Path, patient_factors: Path, out: Path
) -> None:
    """Values, angles and energies of each matrix of a pair, as one long table.

    The nulls are a random change of the donor with the norm of the real one, and two unrelated
    gaussian matrices of that shape.

    Args:
        donor: directory of a checkpoint of any size.
        patient: of the same model.
        donor_factors: file of the donor's factors.
        patient_factors: of the patient's.
        out: parquet file, with the rows of `rotation.spectra_rows`.
    """
    known = load_factors(donor_factors), load_factors(patient_factors)
    spectra.compare(donor, patient, out, FRACTIONS, null_seed=NULL_SEED, factors=known)
