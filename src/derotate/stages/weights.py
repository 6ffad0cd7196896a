# SPDX-License-Identifier: MIT
"""Changes of weights between a run's landmarks: their location in the spectrum and sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from derotate.diagnostics.weight_table import COLUMNS, diagnose_pair, matrix_rows
from derotate.files.atomic import atomic_write
from derotate.models.shards import open_shards
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import load_factors
from derotate.spectral.nulls import matrix_generator, norm_null
from derotate.stages.spectra import FRACTIONS, NULL_SEED

PAIRS = (("base", "sft_end"), ("max_ood", "sft_end"), ("sft_end", "rl_end"))
"""The whole change of SFT, its change after the peak, and the change of RL."""


def compare_weights(
    *, landmarks: Mapping[str, Path], factors: Mapping[str, Path], out: Path
) -> None:
    """Write `diagnose_pair` of each of `PAIRS`, and the same for a random change of equal norm.

    The random change (`norm_null`) is that of the pair's spectra. It is the null of the distances
    that have no closed form.

    Args:
        landmarks: checkpoint directory of each landmark; a pair of one and the same checkpoint is
            left out.
        factors: file of the factors of each landmark.
        out: Parquet with pair and the columns of `weight_table.COLUMNS`.
    """
    pairs = [pair for pair in PAIRS if landmarks[pair[0]] != landmarks[pair[1]]]
    with atomic_write(out) as part:
        pd.concat([_pair(*pair, landmarks, factors) for pair in pairs]).to_parquet(
            part, index=False
        )


def _pair(
    donor: str, patient: str, landmarks: Mapping[str, Path], factors: Mapping[str, Path]
) -> pd.DataFrame:
    before, after = (open_shards(landmarks[name]) for name in (donor, patient))
    left, right = (load_factors(factors[name]) for name in (donor, patient))
    rows = []
    for name, factors_before in left.items():
        weight = before[name]
        norm = float((after[name].double() - weight.double()).norm())
        changed = norm_null(weight, norm, matrix_generator(NULL_SEED, name))
        # float64: small changes turn vectors by angles that float32 factors do not resolve.
        null = factorise(changed, torch.float64)
        rows += matrix_rows(
            name, factors_before, null, weight, changed, FRACTIONS, against="norm_null"
        )
    nulls = pd.DataFrame(rows, columns=list(COLUMNS))
    table = pd.concat([diagnose_pair(before, after, left, right, FRACTIONS), nulls])
    return table.assign(pair=f"{donor}:{patient}")[["pair", *COLUMNS]]
