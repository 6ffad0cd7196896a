# SPDX-License-Identifier: MIT
"""The spectral table of a pair of checkpoints, each metric with its two nulls."""

from __future__ import annotations

from pathlib import Path

from derotate.spectral import pair_metrics
from derotate.spectral.factors import load_factors

NULL_SEED = 0
FRACTIONS = (0.05, 0.2)
"""Shares of the rank whose top subspaces are compared: the bands of the default recipes."""


def compare(
    *, donor: Path, patient: Path, donor_factors: Path, patient_factors: Path, out: Path
) -> None:
    """Values, angles and energies of each matrix of a pair, as one long table.

    The nulls are a random change of the donor with the norm of the real change, and two unrelated
    gaussian matrices of the same shape.

    Args:
        donor: directory of a checkpoint of any size.
        patient: directory of a checkpoint of the same model.
        donor_factors: file of the donor's factors.
        patient_factors: file of the patient's factors.
        out: Parquet file with the rows of `rotation.spectra_rows`.
    """
    factors = load_factors(donor_factors), load_factors(patient_factors)
    pair_metrics.compare(donor, patient, out, FRACTIONS, null_seed=NULL_SEED, factors=factors)
