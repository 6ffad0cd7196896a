# SPDX-License-Identifier: MIT
"""The spectral table of a pair of checkpoints, each metric beside its two nulls."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import torch

from derotate import checkpoints
from derotate.spectral.nulls import norm_null, unrelated_null
from derotate.spectral.rotation import spectra_rows
from derotate.spectral.surgery import matrix_generator
from derotate.spectral.svd import factorise, load_factors

NULL_SEED = 0
FRACTIONS = (0.05, 0.2)
"""Shares of the rank whose top subspaces are compared; those of the default recipes."""


def compare(
    *, donor: Path, patient: Path, donor_factors: Path, patient_factors: Path, out: Path
) -> None:
    """Values, angles and energies of each matrix of a pair, as one long table.

    The nulls are a random change of the donor with the norm of the real one, and two unrelated
    gaussian matrices of that shape.
    """
    before, after = checkpoints.load_state(donor), checkpoints.load_state(patient)
    left, right = load_factors(donor_factors), load_factors(patient_factors)
    rows: list[dict[str, object]] = []
    for name in right:
        rows += spectra_rows(name, left[name], right[name], before[name], after[name], FRACTIONS)
        draw = matrix_generator(NULL_SEED, name)
        change = float((after[name].double() - before[name].double()).norm())
        turned = norm_null(before[name], change, draw)
        rows += spectra_rows(
            name, left[name], factorise(turned, torch.float64), before[name], turned, FRACTIONS,
            against="norm_null",
        )  # fmt: skip
        shape = (before[name].shape[0], before[name].shape[1])
        first, second = unrelated_null(shape, draw)
        rows += spectra_rows(
            name, factorise(first), factorise(second), first, second, FRACTIONS,
            against="unrelated_null",
        )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}")
    pd.DataFrame(rows).to_parquet(aside, index=False)
    os.replace(aside, out)
